//! Asks pkg-config where the library is. RTU_EDGE_STATIC=1 links the static one.
use std::process::Command;

fn pkg_config(option: &str) -> String {
    let name = std::env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_string());
    let done = Command::new(name).args([option, "rtu_edge"]).output().expect("pkg-config does not start");
    assert!(
        done.status.success(),
        "set PKG_CONFIG_PATH to the folder of rtu_edge.pc: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).expect("pkg-config prints a path that is not UTF-8").trim().to_string()
}

fn main() {
    for name in ["PKG_CONFIG", "PKG_CONFIG_PATH", "RTU_EDGE_STATIC"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let folder = pkg_config("--variable=libdir");
    println!("cargo:rustc-link-search=native={folder}");
    if std::env::var_os("RTU_EDGE_STATIC").is_some() {
        println!("cargo:rustc-link-lib=static=rtu_edge");
    } else {
        println!("cargo:rustc-link-lib=dylib=rtu_edge");
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}"); // found there, also outside the system's folders
    }
}

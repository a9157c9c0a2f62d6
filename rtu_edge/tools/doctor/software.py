"""Checks of Python: 64 bits, the native core and its instruction set, pyserial, onnxruntime."""

from __future__ import annotations

import re
from pathlib import Path

from rtu_edge._base.packages import install_command
from rtu_edge._base.untrusted import clean
from rtu_edge.tools.doctor.finding import Finding, fail, note, ok, warn
from rtu_edge.tools.doctor.host import Host

__all__ = ["core", "instruction_set", "onnx_runtime", "serial_package", "userland"]

# Processor features that each instruction set needs, the widest first (native/runtime/isa.cpp).
_FEATURES = {
    "avx512": ("avx512f", "avx512vl", "avx512dq", "avx512bw"),
    "avx2": ("avx2", "fma"),
    "sse2": ("sse2",),
    "neon": ("asimd",),
}
_LANES = {"avx512": 16, "avx2": 8, "sse2": 4, "neon": 4, "scalar": 1}


def userland(host: Host) -> Finding:
    """Width of the running Python."""
    bits, architecture = host.program()
    if bits == 64:
        return ok(f"64 bits, {architecture}")
    return fail(
        f"{bits} bits, {architecture}",
        "# install the 64-bit image of the operating system; a 64-bit kernel alone is not enough",
    )


def core(host: Host) -> Finding:
    """Import of numpy and of the native core."""
    found = host.imported("core")
    if found.text and not found.reason:
        return ok(f"numpy {found.text.split()[0]}; native core loaded")
    if found.text:
        return warn(f"numpy {found.text.split()[0]}; {found.reason}", "pip install --force-reinstall numpy rtu_edge")
    return fail(found.reason, "pip install --force-reinstall numpy rtu_edge")


def instruction_set(host: Host) -> Finding:
    """Instruction set of the native core against the features of the processor."""
    lines = host.need("/proc/cpuinfo").splitlines()
    features = next((set(line.split()) for line in lines if re.match(r"(flags|Features)\s*:", line)), None)
    if features is None:
        raise ValueError("/proc/cpuinfo has no line 'flags' or 'Features'")
    name = next((line.partition(":")[2].strip() for line in lines if re.match(r"(model name|Model)\s*:", line)), "")
    virtual = ", virtual machine" if "hypervisor" in features else ""
    words = host.imported("core").text.split()
    if len(words) < 2:
        return note(f"{name or 'processor'}{virtual}: not known, the native core was not loaded")
    chosen = words[1]
    widest = next((isa for isa, needed in _FEATURES.items() if features.issuperset(needed)), "scalar")
    shown = f"{chosen}{virtual}" + (f", {clean(name)}" if name else "")
    if _LANES.get(chosen, 0) >= _LANES[widest]:
        return ok(shown)
    if host.environment_isa:
        return note(f"{shown}: RTU_EDGE_ISA, and the processor has {widest}", "unset RTU_EDGE_ISA")
    return warn(
        f"{shown}: the processor has {widest}",
        "pip install --force-reinstall --no-binary rtu_edge rtu_edge",
    )


def serial_package(host: Host) -> Finding:
    """Whether `import serial` finds pyserial."""
    other = [folder for folder in host.modules if any(folder.glob("serial-*.dist-info"))]
    if other:
        return fail(
            f"the package `serial` in {clean(str(other[0]))}",
            "pip uninstall -y serial pyserial",
            "pip install pyserial",
        )
    for folder in (host.here, *host.modules):
        module, package = folder / "serial.py", folder / "serial"
        found = package if (package / "__init__.py").exists() else module if module.exists() else None
        if found is None:
            continue
        if _is_pyserial(host, found):
            return ok("pyserial")
        shown, rename = f"{clean(str(found))} hides pyserial", "# rename it: it must not be called serial"
        if folder not in host.modules:
            return warn(shown, rename, effect="scripts in this folder cannot open a port; `rtu-edge` can")
        return fail(shown, rename)
    return fail("pyserial is not installed", "pip install pyserial")


def _is_pyserial(host: Host, package: Path) -> bool:
    return "serial_for_url" in (host.text(package / "__init__.py") or "") and (package / "serialutil.py").exists()


def onnx_runtime(host: Host) -> Finding:
    """Import of onnxruntime."""
    found = host.imported("onnxruntime")
    if found.text and not found.reason:
        return ok(found.text)
    if found.text:
        return note(f"{found.text}; {found.reason}", "pip install --upgrade onnxruntime")
    if found.missing:
        return note("not installed", install_command("onnxruntime"))
    return warn(found.reason, "pip install --upgrade onnxruntime")

# shellcheck shell=sh
# Sourced by tools that unpack Debian packages without installing them. Needs apt-get and debian-archive-keyring.
#   private_apt <folder> <suite> [architecture]   apt-get in this shell gets a state of its own in <folder>, in which
#       nothing is installed, so that a package is downloaded with every library: <folder>/archives. The architecture
#       is this host's, unless given. Overwrites <folder>.
#   public_apt   apt-get is the host's again
private_apt() {
    rm -rf "$1"
    mkdir -p "$1/lists/partial" "$1/archives/partial"
    : >"$1/status"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian $2 main" >"$1/sources.list"
    cat >"$1/apt.conf" <<CONF
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Retries "3";
Acquire::Languages "none";
Dir::State "$1";
Dir::State::lists "$1/lists";
Dir::State::status "$1/status";
Dir::Cache "$1";
Dir::Cache::archives "$1/archives";
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferencesparts "-";
DPkg::Post-Invoke "";
APT::Update::Post-Invoke "";
CONF
    [ -z "${3:-}" ] || cat >>"$1/apt.conf" <<CONF
APT::Architecture "$3";
APT::Architectures { "$3"; };
CONF
    export APT_CONFIG="$1/apt.conf"
}
public_apt() { unset APT_CONFIG; }

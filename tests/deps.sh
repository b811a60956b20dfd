# Installs the Debian packages named as arguments, as far as they are missing. Elsewhere, or without the right to, names them.
missing=
for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q "install ok installed" || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    # another system: the names below are Debian's; if the compiler and the libraries are there, all is well
    pkg-config --exists lua5.4 openblas jansson zlib libpng libedit libutf8proc 2>/dev/null && exit 0
    echo "these packages (by their Debian names) are needed:$missing" >&2
    exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "as root: apt-get install$missing" >&2; exit 1; }
    sudo=sudo
fi
echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get install -y -qq $missing >/dev/null 2>&1 ||
    { $sudo apt-get update -qq && $sudo apt-get install -y -qq $missing >/dev/null; }

# What `make dist` hands over, from objects that are position-independent ($1): a folder, a tarball and a Debian package in $2.
#
#   bin/attn                    needs the C library and nothing else
#   lib/libattn.a, include/     for programs in C: the engine, and luaopen_attn for a Lua of theirs
#   lib/lua/5.4/attn.so         for a stock Lua 5.4: require "attn"
#   share/                      man page, completion, annotations for editors, scripts, licences
set -e
objects=$1 out=$2
version=$(sed -n 's/^#define AT_VERSION "\(.*\)"/\1/p' attn/attn.h)
name=attn-$version-linux-$(uname -m)
to=$out/$name
rm -rf "$to"
mkdir -p "$to/bin" "$to/lib/lua/5.4" "$to/include" "$to/share/man/man1" "$to/share/bash-completion/completions" \
    "$to/share/zsh/site-functions" "$to/share/fish/vendor_completions.d" "$to/share/attn/meta" "$to/share/doc/attn"

all=$(find "$objects/attn" "$objects/vm" -name '*.o' ! -path '*/vm/embed/*'; echo "$objects/stdlib_data.o")
library=$(echo "$all" | grep -v -e '/vm/main\.o$' -e '/vm/repl\.o$' -e '/vm/runner\.o$')

$CC -O2 -pie -s -Wl,-E -Wl,-z,relro,-z,now -o "$to/bin/attn" $all $LUA_LIB $BLAS_LINK $BLAS_LIB $STATIC -lm -ldl -pthread
ar rcs "$to/lib/libattn.a" $library
echo '{ global: luaopen_attn; local: *; };' >"$out/exports"
$CC -shared -s -Wl,--version-script="$out/exports" -o "$to/lib/lua/5.4/attn.so" $library $BLAS_LINK $BLAS_LIB $SHARED -lm -pthread
find attn -name '*.h' | while read -r header; do
    mkdir -p "$to/include/${header%/*}"
    cp "$header" "$to/include/$header"
done

program=$to/bin/attn
"$program" help --man >"$to/share/man/man1/attn.1"
"$program" help --completion bash >"$to/share/bash-completion/completions/attn"
"$program" help --completion zsh >"$to/share/zsh/site-functions/_attn"
"$program" help --completion fish >"$to/share/fish/vendor_completions.d/attn.fish"
"$program" help --stubs >"$to/share/attn/meta/attn.lua"
"$program" --licenses >"$to/share/doc/attn/copyright"
cp README.md CHANGELOG.md LICENSE "$to/share/doc/attn"
cp -r scripts "$to/share/attn/scripts"
tar -C "$out" -czf "$out/$name.tar.gz" "$name"
echo "$out/$name.tar.gz"

command -v dpkg-deb >/dev/null 2>&1 || exit 0
architecture=$(dpkg --print-architecture) root=$out/deb
rm -rf "$root"
mkdir -p "$root/DEBIAN" "$root/usr"
cp -r "$to"/. "$root/usr"
libc=$(dpkg-query -W -f='${Version}' libc6 2>/dev/null | sed 's/-.*//')
cat >"$root/DEBIAN/control" <<END
Package: attn
Version: $version
Architecture: $architecture
Maintainer: the authors of attn <attn@localhost>
Depends: libc6 (>= ${libc:-2.36})
Section: science
Priority: optional
Description: a place to do attention research
 One native program that embeds Lua 5.4: tensors with automatic differentiation, attention mechanisms as one composable
 constructor, encoders, decoders, search and optimizers.
END
dpkg-deb --root-owner-group -b "$root" "$out/attn_${version}_$architecture.deb" >/dev/null
rm -rf "$root"
echo "$out/attn_${version}_$architecture.deb"

# Tests what `make dist` made in $1. Closes with a line of totals.
out=$1 passed=0 failed=0
name=$(basename "$(ls -d "$out"/attn-*-linux-*/ | head -n 1)")
here=$out/$name
check() {       # what holds, command
    if eval "$2" >"$out/log" 2>&1; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $1"; tail -n 5 "$out/log"; fi
}
check "the program needs the C library and nothing else" \
    '[ -z "$(ldd $here/bin/attn | grep -v -e linux-vdso -e ld-linux -e libc.so -e libm.so)" ]'
# an empty root: the file, the C library, a script
root=$out/root
rm -rf "$root"
mkdir -p "$root/tmp"
cp "$here/bin/attn" scripts/translation/dates.lua "$root"
ldd "$here/bin/attn" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp "$library" "$root$library"
done
if chroot "$root" /attn -e 'print(1)' >/dev/null 2>&1; then enter="chroot $root"; else enter="unshare -r chroot $root"; fi
if $enter /attn -e 'print(1)' >/dev/null 2>&1; then
    check "in an empty root it runs its demo" '$enter /attn /dates.lua --quick --jobs=1 --results /tmp/results | grep "^result "'
    check "and help, and a session that is piped" "echo 'print(attn.ones(2):sum())' | \$enter /attn - | grep 2; \$enter /attn help softmax | grep 'sum to 1'"
else
    echo "skipped: an empty root needs rights that are not here"
fi
check "the tarball holds it whole" 'tar -tzf $out/$name.tar.gz | grep -q bin/attn && tar -tzf $out/$name.tar.gz | grep -q share/man/man1/attn.1'
check "licences are inside" "grep -q '==== libopenblas-serial ====' $here/share/doc/attn/copyright"
if command -v dpkg-deb >/dev/null 2>&1; then
    check "the Debian package has the same" 'dpkg-deb -c $out/attn_*.deb | grep -q ./usr/bin/attn && dpkg-deb -I $out/attn_*.deb | grep -q "Depends: libc6"'
fi
check "a program in C is built with libattn.a and its headers" \
    '$CC -std=gnu17 -O1 -I$here/include $LUA_CFLAGS -o $out/host tests/handover/host.c $here/lib/libattn.a $LUA_LIB $BLAS_LINK $BLAS_LIB $STATIC -lm -ldl -pthread'
check "and multiplies, by itself and in its own Lua" '[ "$($out/host)" = "from C: 12
from Lua: 12.0 2" ]'
if command -v lua5.4 >/dev/null 2>&1; then
    check "a stock Lua requires it" "LUA_CPATH='$here/lib/lua/5.4/?.so' lua5.4 tests/handover/module.lua | grep '^12.0.2.false.*add: the shapes do not broadcast'"
else
    echo "skipped: no lua5.4 here"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

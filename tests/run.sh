# Runs everything: the C tests, the layer check, then `attn test`, and what depends on the vectors once more at every lower level of
# SIMD this machine has. Closes with one line of totals. --quick, for sanitizer builds: without the C tests, the levels and what takes
# long there. Paths: these alone (tests/c/NAME_test.c too). Options go to `attn test`.
passed=0 failed=0
folders=tests layers=yes levels=
[ $# = 0 ] && levels="base avx2"
if [ "$1" = --quick ]; then
    shift
    CTESTS=
    folders="tests/core tests/op tests/layer tests/optim tests/io tests/encoder tests/decoder tests/attention tests/fuzz \
        tests/registry_test.lua"
    export ATTN_FUZZ_CALLS="${ATTN_FUZZ_CALLS:-3000}"
fi
value= paths= lua= named=
for a; do
    shift
    case $value$a in
        -j | --filter | --junit | --timeout) value="$a " ;;
        -*) value= ;;
        tests/c/*_test.c)
            [ -f "$a" ] || { echo "$a: there is no such test" >&2; exit 1; }
            paths=yes named="$named ${a##*/}"
            continue ;;
        *) paths=yes lua=yes ;;
    esac
    set -- "$@" "$a"        # for attn test
done
if [ $paths ]; then folders= layers=; else lua=yes; fi
count() {       # of a log that closes with "N passed, N failed"; $2: its exit status
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$1" | tail -n 1)
    p=$(echo "$line" | sed -E 's/^([0-9]+) passed.*/\1/') f=$(echo "$line" | sed -E 's/^[0-9]+ passed, ([0-9]+) failed.*/\1/')
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0}))
    # a crash without a closing line, or a bad exit without a failed case, is a failure of its own
    if [ -z "$line" ] || { [ "$2" != 0 ] && [ "${f:-0}" = 0 ]; }; then failed=$((failed + 1)); fi
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for t in $CTESTS; do
    case "$paths $named " in yes*" ${t##*/}.c "* | " "*) ;; *) continue ;; esac
    "$t" >"$log" 2>&1
    status=$?
    [ $status = 0 ] || { echo "$t:"; tail -n 40 "$log"; }
    count "$log" $status
done
if [ $layers ]; then
    if sh tests/layers.sh; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    sh tests/format.sh
    case $? in 0) passed=$((passed + 1)) ;; 1) failed=$((failed + 1)) ;; esac   # 2: no clang-format here
fi
scripts() {     # arguments of `attn test`
    { "$BIN/attn" test "$@"; echo $? >"$log.status"; } 2>&1 | tee "$log" | grep -vE '^[0-9]+ passed, [0-9]+ failed'
    status=$(cat "$log.status")
    rm -f "$log.status"
    count "$log" "$status"
}
[ ! $lua ] || scripts "$@" $folders
simd='print(attn.simd())'
for level in $levels; do
    export ATTN_SIMD=$level
    here=$("$BIN/attn" -e "$simd")
    [ "$here" != "$(env -u ATTN_SIMD "$BIN/attn" -e "$simd")" ] || continue     # the whole suite ran at it
    echo "SIMD level $here:"
    for t in $CTESTS; do
        case $t in *gemm_f32_test) "$t" >"$log" 2>&1; status=$?; grep -v ' passed, ' "$log"; count "$log" $status ;; esac
    done
    scripts tests/op tests/layer tests/attention tests/golden
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]

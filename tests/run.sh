# Runs everything: the C tests, the layer check, then `attn test`. Closes with one line of totals. --quick, for sanitizer builds:
# without the C tests and what takes long there. Other arguments go to `attn test`.
passed=0 failed=0
folders=tests
if [ "$1" = --quick ]; then
    shift
    CTESTS=
    folders="tests/core tests/op tests/layer tests/optim tests/io tests/encoder tests/decoder tests/attention tests/fuzz \
        tests/registry_test.lua"
    export ATTN_FUZZ_CALLS="${ATTN_FUZZ_CALLS:-3000}"
fi
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
    "$t" >"$log" 2>&1
    status=$?
    [ $status = 0 ] || { echo "$t:"; tail -n 40 "$log"; }
    count "$log" $status
done
if sh tests/layers.sh; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
{ "$BIN/attn" test "$@" $folders; echo $? >"$log.status"; } 2>&1 | tee "$log" | grep -vE '^[0-9]+ passed, [0-9]+ failed'
status=$(cat "$log.status")
rm -f "$log.status"
count "$log" "$status"
echo "$passed passed, $failed failed"
[ $failed = 0 ]

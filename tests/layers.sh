# Checks the #include lines of attn/ and vm/ against the table of who may include whom.
bad=0
check() {       # folder, pattern of what its files may include of the project
    lines=$(grep -rn --include='*.[ch]' '#include "' "$1" | awk -F: -v allowed="$2" '$3 !~ allowed')
    [ -z "$lines" ] || { echo "$lines"; bad=1; }
}
core='attn/(core|kernel)/'
check attn/kernel 'attn/core/(real|cpu|stop).h|attn/kernel/'
check attn/core "$core|attn/op/list.h"
check attn/op "$core|attn/op/"
check attn/optim "$core|attn/optim/"
check attn/io 'attn/core/|attn/io/'
check attn/layer 'attn/core/|attn/layer/'
check attn/attention 'attn/core/|attn/layer/|attn/attention/'
check attn/encoder 'attn/core/|attn/layer/|attn/attention/attention.h|attn/encoder/'
check attn/decoder 'attn/core/|attn/layer/|attn/attention/attention.h|attn/encoder/block.h|attn/decoder/'
check vm '"vm/|"attn/attn.h"'
if grep -rn '#include <lua' attn; then bad=1; fi
if grep -rln 'cblas.h' attn vm | grep -v '^attn/core/gemm.c$'; then bad=1; fi
# session.lua is a part of the host: it completes the names of userdata
if grep -rnE --exclude=session.lua 'package\.loadlib|debug\.(sethook|setmetatable|getregistry|upvaluejoin)' stdlib scripts; then bad=1; fi
[ $bad = 0 ] && echo "layers: ok" || { echo "layers: the lines above break the table in tests/layers.sh"; exit 1; }

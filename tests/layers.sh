# Checks the #include lines of attn/ and vm/ against the table of who may include whom.
bad=0
check() {       # folder, pattern of what its files may include of the project
    lines=$(grep -rn --include='*.[ch]' '#include "' "$1" | awk -F: -v allowed="$2" '$3 !~ allowed')
    [ -z "$lines" ] || { echo "$lines"; bad=1; }
}
# kernel <- core <- structured <- row <- op <- build <- layer <- attention <- encoder, decoder; optim and io stand beside op
core='attn/(core|kernel)/'
built='attn/(core|build)/'
check attn/kernel 'attn/core/(real|cpu|stop).h|attn/kernel/'
check attn/core "$core"
check attn/structured "$core|attn/structured/"
check attn/row "$core|attn/structured/|attn/row/"
check attn/op "$core|attn/structured/|attn/row/|attn/op/"
check attn/build "$built|attn/op/list.h"
check attn/optim "$core|attn/build/|attn/optim/"
check attn/io "$built|attn/io/"
check attn/layer "$built|attn/layer/"
check attn/attention "$built|attn/row/row.h|attn/op/attend.h|attn/layer/|attn/attention/"
check attn/encoder "$built|attn/layer/|attn/attention/attention.h|attn/encoder/"
check attn/decoder "$built|attn/layer/|attn/attention/attention.h|attn/encoder/block.h|attn/decoder/"
check vm '"vm/|"attn/attn.h"'
if grep -rn '#include <lua' attn; then bad=1; fi
if grep -rln 'cblas.h' attn vm | grep -v '^attn/core/gemm.c$'; then bad=1; fi
# names.lua is a part of the host: it knows the names of userdata
if grep -rnE --exclude=names.lua 'package\.loadlib|debug\.(sethook|setmetatable|getregistry|upvaluejoin)' stdlib scripts; then bad=1; fi
[ $bad = 0 ] && echo "layers: ok" || { echo "layers: the lines above break the table in tests/layers.sh"; exit 1; }

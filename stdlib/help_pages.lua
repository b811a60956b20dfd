-- help_pages: the documentation as files for others to read: pages for a browser, a man page, completion for shells.
local attn = require "attn"
local fields = require "attn.fields"

local m = {}

local entities = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;"}
local function escape(text) return (text:gsub('[&<>"]', entities)) end
local function anchor(name) return (name:gsub("[^%w_]", "-")) end

local style = [[
:root { color-scheme: light dark; --line: #8884; --code: #8881 }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem }
pre, code { font-family: ui-monospace, monospace; font-size: 0.9em }
pre { background: var(--code); padding: 0.7rem; overflow-x: auto; border-radius: 4px }
h2 { border-top: 1px solid var(--line); padding-top: 1rem } h3 { margin: 1.5rem 0 0.3rem; font-size: 1rem }
nav a { display: inline-block; margin-right: 0.8rem } a { color: inherit } .text { white-space: pre-wrap }
@media print { nav { display: none } }]]

local function page(title, body)
    return ('<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        .. "<title>%s</title>\n<style>%s</style>\n%s\n</html>\n"):format(escape(title), style, body)
end

local function body_of(entry)
    return ('<pre>%s</pre><div class="text">%s</div>%s'):format(escape(entry.signature), escape(entry.text),
        entry.example and "<pre>" .. escape(entry.example) .. "</pre>" or "")
end

---Writes DIR/index.html and a page for each group. The exit status.
---@param all table as help.entries gives it
---@param groups table<string, string[]>
---@param about table<string, string>
---@param topics table<string, string>
---@param folder string
---@return integer
function m.html(all, groups, about, topics, folder)
    local whole = require "attn.whole"
    whole.folder(folder)
    local function write(name, title, body)
        local ok, why = whole.write(folder .. "/" .. name, page(title, body))
        if not ok then io.stderr:write("attn help: ", folder, "/", name, ": ", tostring(why), "\n") end
        return ok
    end
    local index = {"<h1>attn " .. attn._VERSION .. "</h1>", "<h2>Topics</h2>"}
    for _, topic in ipairs(fields.names(topics)) do
        index[#index + 1] = ('<h3 id="%s">%s</h3><div class="text">%s</div>'):format(anchor(topic), escape(topic), escape(topics[topic]))
    end
    local names = fields.names(groups)
    table.insert(index, 2, "<nav>")
    local at = 3
    for _, group in ipairs(names) do
        table.insert(index, at, ('<a href="%s.html">%s</a>'):format(group, escape(group)))
        at = at + 1
        local body = {('<p><a href="index.html">attn</a></p><h1>%s</h1><p>%s</p><nav>'):format(escape(group), escape(about[group] or ""))}
        for _, name in ipairs(groups[group]) do body[#body + 1] = ('<a href="#%s">%s</a>'):format(anchor(name), escape(name)) end
        body[#body + 1] = "</nav>"
        for _, name in ipairs(groups[group]) do
            body[#body + 1] = ('<h2 id="%s">%s</h2>%s'):format(anchor(name), escape(name), body_of(all[name]))
        end
        if not write(group .. ".html", "attn: " .. group, table.concat(body, "\n")) then return 1 end
    end
    table.insert(index, at, "</nav>")
    return write("index.html", "attn", table.concat(index, "\n")) and 0 or 1
end

---@return string roff
function m.man()
    local function roff(text) return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("\n%.", "\n\\&.")) end
    local parts = {(".TH ATTN 1 \"\" \"attn %s\"\n.SH NAME\nattn \\- a place to do attention research: Lua with tensors, layers and training\n"):format(
        attn._VERSION), ".SH SYNOPSIS\n"}
    for _, line in ipairs{"attn [options] [script [args]]", "attn test [paths]", "attn help [name]", "attn runs [show ID | diff A B | plot ID... | export ID...]",
        "attn report [scripts or results]"} do
        parts[#parts + 1] = ".B " .. roff(line) .. "\n.br\n"
    end
    parts[#parts + 1] = ".SH DESCRIPTION\nWithout a script an interactive session begins. A script is run as lua would run it, with the module attn: tensors with "
        .. "automatic differentiation, attention mechanisms, recurrent and Transformer encoders and decoders, search, optimizers.\n.SH OPTIONS\n"
    for _, option in ipairs{{"-e stat", "execute the string stat"}, {"-i", "go on interactively after the script"}, {"-l mod", "require mod into a global"},
        {"-I dir", "look for modules in folder dir first"}, {"--color=C", "colours in the session: always, never or auto"}, {"-g", "say where a global that has no value is read"}, {"-v", "show version information"}, {"-E", "ignore environment variables"},
        {"-W", "turn warnings on"}, {"--profile", "where the time of the script went, by operation and module"},
        {"--profile=FILE", "the same, and a trace for chrome://tracing or Perfetto"}, {"--version", "version, BLAS, threads, SIMD level"}, {"--licenses", "what is inside, and its licences"},
        {"--help", "a summary"}} do
        parts[#parts + 1] = (".TP\n.B %s\n%s\n"):format(roff(option[1]), roff(option[2]))
    end
    parts[#parts + 1] = ".SH ENVIRONMENT\n.nf\n" .. roff(require "attn.help_topics".environment) .. "\n.fi\n"
    parts[#parts + 1] = ".SH EXIT STATUS\n0, or 1 after an error; a script may end with another (os.exit). An interrupted script dies by the signal.\n"
        .. ".SH SEE ALSO\n.BR lua (1)\n"
    return table.concat(parts)
end

local options = "-e -i -l -I -g -v -E -W --color= --profile --version --licenses --help"

local shells = {
    bash = function(names)
        return ([=[
# attn(1) completion for bash
_attn() {
    local word=${COMP_WORDS[COMP_CWORD]}
    case ${COMP_WORDS[1]} in
    help) [ $COMP_CWORD -gt 1 ] && COMPREPLY=($(compgen -W "--search --html --stubs --man --completion %s" -- "$word")) && return ;;
    test) [ $COMP_CWORD -gt 1 ] && case $word in -*) COMPREPLY=($(compgen -W "-j -v --filter --failed --watch --junit --timeout --help" -- "$word")); return ;; esac ;;
    runs) [ $COMP_CWORD -gt 1 ] && COMPREPLY=($(compgen -W "show diff plot export --runs --json --metric --log --file --svg --csv --tensorboard --help" -- "$word")) && return ;;
    report) case $word in -*) COMPREPLY=($(compgen -W "--html --markdown --help" -- "$word")); return ;; esac ;;
    esac
    case $word in -*) COMPREPLY=($(compgen -W "%s" -- "$word")); return ;; esac
    COMPREPLY=($(compgen -f -- "$word"))
    [ $COMP_CWORD -eq 1 ] && COMPREPLY+=($(compgen -W "help test runs report" -- "$word"))
}
complete -o filenames -F _attn attn
]=]):format(names, options)
    end,
    zsh = function(names)
        return ([=[
#compdef attn
# attn(1) completion for zsh
if (( CURRENT == 2 )); then
    compadd help test runs report %s
    _files
elif [[ $words[2] == help ]]; then
    compadd -- --search --html --stubs --man --completion %s
elif [[ $words[2] == runs ]]; then
    compadd -- show diff plot export --runs --json --metric --log --file --svg --csv --tensorboard --help
elif [[ $words[2] == test ]]; then
    compadd -- -j -v --filter --failed --watch --junit --timeout --help
    _files
else
    _files
fi
]=]):format(options, names)
    end,
    fish = function(names)
        return ([=[
# attn(1) completion for fish
complete -c attn -n __fish_use_subcommand -a "help test runs report"
complete -c attn -n "__fish_seen_subcommand_from help" -f -a "--search --html --stubs --man --completion %s"
complete -c attn -n "__fish_seen_subcommand_from runs" -f -a "show diff plot export --runs --json --metric --log --file --svg --csv --tensorboard --help"
complete -c attn -n "__fish_seen_subcommand_from test" -a "-j -v --filter --failed --watch --junit --timeout --help"
complete -c attn -n __fish_use_subcommand -a "%s"
]=]):format(names, options)
    end,
}

---The completion of a shell; nil if it is none of bash, zsh and fish.
---@param shell string
---@param names string[]
---@param topics string[]
---@return string?
function m.completion(shell, names, topics)
    local words = {}
    for _, list in ipairs{topics, names} do
        for _, name in ipairs(list) do
            if not name:find ":" then words[#words + 1] = name end     -- bash ends words there
        end
    end
    return shells[shell] and shells[shell](table.concat(words, " "))
end

return m

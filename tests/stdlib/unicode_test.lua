-- Categories, normal forms and widths of Unicode.
local attn, t = require "attn", require "attn.test"
local unicode = attn.unicode

t.case("categories", function()
    local expected = {[65] = "Lu", [97] = "Ll", [0x1C5] = "Lt", [0x2B0] = "Lm", [0x4E00] = "Lo", [0x301] = "Mn",
        [48] = "Nd", [0x2160] = "Nl", [0xB2] = "No", [32] = "Zs", [0x2028] = "Zl", [10] = "Cc", [0x200D] = "Cf",
        [33] = "Po", [36] = "Sc", [43] = "Sm", [0x1F600] = "So", [0xE000] = "Co", [0x378] = "Cn", [0xD800] = "Cs"}
    for code, name in pairs(expected) do t.equal(unicode.category(code), name) end
    t.raises("code is 1114112, expected 0 to 1114111", unicode.category, 0x110000)
    t.raises("code is the string 'A', expected an integer", unicode.category, "A")
end)

t.case("normal forms", function()
    t.equal(unicode.normalize "e\u{301}", "é")
    t.equal(unicode.normalize("é", "NFD"), "e\u{301}")
    t.equal(unicode.normalize("ﬁ①", "NFKC"), "fi1")
    t.equal(unicode.normalize("ﬁ①é", "NFKD"), "fi1e\u{301}")
    t.equal(unicode.normalize("ﬁ", "NFC"), "ﬁ")
    t.equal(unicode.normalize "", "")
    t.equal(unicode.normalize "a\xFF", "a\xFF")
    t.equal(unicode.normalize "e\u{301}\0", "e\u{301}\0")
    t.raises("form is 'nfc', expected NFC, NFD, NFKC or NFKD", unicode.normalize, "a", "nfc")
end)

t.case("width in columns", function()
    t.equal(unicode.width "abc", 3)
    t.equal(unicode.width "e\u{301}", 1)
    t.equal(unicode.width "日本", 4)
    t.equal(unicode.width "😀", 2)
    t.equal(unicode.width "a\xFFb", 3)
    t.equal(unicode.width "", 0)
end)

# Include rules and banned functions. The first file is the rules, the others are C.

function report(what) {
    print FILENAME ":" FNR ": " what
}

function begins(text, beginning) {
    return substr(text, 1, length(beginning)) == beginning
}

# True where one of the beginnings in the list fits.
function fits(text, list,    n, i, part) {
    n = split(list, part, " ")
    for (i = 1; i <= n; i++)
        if (begins(text, part[i]))
            return 1
    return 0
}

function check_include(name, angled,    who) {
    if (angled) {
        for (who in may_be_included_by)
            if (begins("<" name ">", who) && !fits(FILENAME, may_be_included_by[who]))
                report("<" name "> belongs to " may_be_included_by[who])
    } else if (name !~ /^(model|api|server|tests)\//) {
        report("\"" name "\" is not written from the root")
    } else if (!fits(name, allowed)) {
        report("\"" name "\" is out of bounds here (tests/lint/rules)")
    }
}

# Takes out comments and what stands in quotes.
function strip(line,    out, two, c) {
    out = ""
    while (line != "") {
        two = substr(line, 1, 2)
        c = substr(line, 1, 1)
        if (in_comment) {
            if (two == "*/") {
                in_comment = 0
                line = substr(line, 3)
            } else {
                line = substr(line, 2)
            }
        } else if (two == "/*") {
            in_comment = 1
            line = substr(line, 3)
        } else if (two == "//") {
            line = ""
        } else if (c == "\"" || c == "'") {
            if (match(line, c == "\"" ? /^"([^"\\]|\\.)*"/ : /^'([^'\\]|\\.)*'/))
                line = substr(line, RLENGTH + 1)
            else
                line = ""
            out = out " "
        } else {
            out = out c
            line = substr(line, 2)
        }
    }
    return out
}

NR == FNR {
    sub(/#.*/, "")
    if (split($0, half, /:[ ]+/) == 2) {
        if (begins(half[1], "<"))
            may_be_included_by[half[1]] = half[2]
        else
            may_include[half[1]] = half[2]
    }
    next
}

FNR == 1 {
    in_comment = 0
    product = FILENAME !~ /^(tests|server\/embed)\//
    best = ""
    for (who in may_include)
        if (begins(FILENAME, who) && length(who) > length(best))
            best = who
    allowed = may_include[best]
}

/^[ \t]*#[ \t]*include[ \t]*["<]/ {
    name = $0
    angled = name ~ /include[ \t]*</
    sub(/^[^"<]*["<]/, "", name)
    sub(/[">].*/, "", name)
    check_include(name, angled)
    next
}

{
    # Names come apart at everything that cannot be in one, so that "my_exit(" is not "exit(".
    code = strip($0)
    gsub(/[ \t]+\(/, "(", code)
    n = split(code, word, /[^A-Za-z0-9_(]+/)
    for (i = 1; i <= n; i++) {
        m = split(word[i], call, "(")
        for (j = 1; j < m; j++) {
            if (call[j] ~ /^(strcpy|strcat|stpcpy|sprintf|vsprintf|strtok|atoi|atol|atof|gets|alloca|tmpnam|mktemp)$/)
                report(call[j] " is banned")
            if (product && call[j] ~ /^(exit|_exit|abort|assert)$/)
                report(call[j] " is banned here: nothing from outside may end the program")
        }
    }
    if (code ~ /typedef[ \t]+(struct|union|enum)[ \t]*[A-Za-z0-9_]*[ \t]*({|[A-Za-z0-9_]+;)/)
        report("struct without typedef")
}

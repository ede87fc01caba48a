# Lines of any text: width, spaces, things left lying about, paths of one machine.

function report(what) {
    print FILENAME ":" FNR ": " what
}

/[ \t]$/ { report("space at the end of the line") }
/\r/ { report("carriage return") }
/\t/ && FILENAME !~ /(Makefile|\.mk)$/ { report("tab") }

# The words are put together here so that this file does not find itself.
$0 ~ ("(TO" "DO|FIX" "ME|HA" "CK)([^A-Za-z]|$)") { report("unfinished") }

/(^|[^A-Za-z0-9_.])\/(home|root|work|mnt|Users)\// { report("path of one machine") }

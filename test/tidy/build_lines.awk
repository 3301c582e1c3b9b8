# Breaks the lines of a BUILD file that have more than 100 columns: one argument or list item per
# line. Debian has no buildifier; this is the part of it that matters here.

{ put($0) }

function put(line,   open, close_at, indent, i, start, depth, c, quoted) {
  if (length(line) <= 100 || line ~ /^ *#/ || !(open = first_bracket(line))) {
    print line
    return
  }
  close_at = matching(line, open)
  if (!close_at) {
    print line
    return
  }
  match(line, /^ */)
  indent = substr(line, 1, RLENGTH)
  print substr(line, 1, open)
  start = open + 1
  for (i = open + 1; i < close_at; ++i) {
    c = substr(line, i, 1)
    if (c == "\"") quoted = !quoted
    if (quoted) continue
    if (index("([{", c)) ++depth
    if (index(")]}", c)) --depth
    if (c == "," && depth == 0) {
      put_item(indent, substr(line, start, i - start))
      start = i + 1
    }
  }
  put_item(indent, substr(line, start, close_at - start))
  print indent substr(line, close_at)
}

function put_item(indent, item) {
  gsub(/^ +| +$/, "", item)
  if (item != "") put(indent "    " item ",")
}

function first_bracket(line,   i, quoted, c) {
  for (i = 1; i <= length(line); ++i) {
    c = substr(line, i, 1)
    if (c == "\"") quoted = !quoted
    if (!quoted && index("([", c)) return i
  }
  return 0
}

function matching(line, open,   i, depth, quoted, c) {
  for (i = open; i <= length(line); ++i) {
    c = substr(line, i, 1)
    if (c == "\"") quoted = !quoted
    if (quoted) continue
    if (index("([{", c)) ++depth
    if (index(")]}", c) && --depth == 0) return i
  }
  return 0
}

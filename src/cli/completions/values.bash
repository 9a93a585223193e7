# Offers what the agent knows, else what _vipd_options does.
_vipd() {
    local line="${COMP_LINE:0:COMP_POINT}" word known value values quoted
    local -a words
    # Bash takes the colons of addresses for ends of words; these words have none but spaces.
    # shellcheck disable=SC2162 # Backslashes quote, as those below.
    read -a words <<< "$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    word="${words[${#words[@]} - 1]}"
    values="$("$1" complete-values -- "${words[@]:1}" 2> /dev/null)"
    if [[ -z "$values" ]]; then
        # Bash takes the `=` of `--flag=value` for a word of its own.
        [[ "$word" != --*=* ]] || set -- "$1" "${word#*=}" "${word%%=*}"
        _vipd_options "$@"
        # A name of a directory goes on.
        [[ "${#COMPREPLY[@]}" -ne 1 || ! -d "${COMPREPLY[0]}" ]] || compopt -o nospace -o filenames
        return
    fi
    # What stands before the last colon is there already.
    known=""
    [[ "$COMP_WORDBREAKS" != *:* ]] || known="${word%"${word##*:}"}"
    COMPREPLY=()
    while IFS= read -r value; do
        # Brackets of addresses are patterns of file names.
        printf -v quoted %q "${value#"$known"}"
        COMPREPLY+=("$quoted")
    done <<< "$values"
}

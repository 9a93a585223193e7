# Offers what the agent knows, else what _vipd_options does.
_vipd() {
    local -a values
    values=(${(f)"$("${(Q)words[1]}" complete-values -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2> /dev/null)"})
    if (( $#values )); then
        compadd -- "${values[@]}"
    else
        _vipd_options "$@"
    fi
}

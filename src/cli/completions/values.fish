
# Prints what the agent knows for the word.
function __fish_vipd_values
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    $words[1] complete-values -- $words[2..] "$word" 2> /dev/null
end

complete -c vipd -n "not __fish_vipd_needs_command" -a "(__fish_vipd_values)"

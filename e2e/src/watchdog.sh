# Ends what the harness started when the harness itself is gone, however it ended.
#
# Standard input is a pipe whose other end only the harness holds. Lines: "+<pid>" a process to end,
# "-<pid>" it has been waited for, "dir <path>" a folder to remove. End of file: the harness is gone.
trap '' INT TERM HUP
pids=' '
dirs=
while read -r line; do
    case $line in
    +*) pids="$pids${line#+} " ;;
    -*) pids=$(printf %s. "$pids" | sed "s/ ${line#-} / /") pids=${pids%.} ;;
    'dir '*) dirs="$dirs${line#dir }
" ;;
    esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
tries=0
for pid in $pids; do
    while kill -0 "$pid" 2>/dev/null && [ $tries -lt 50 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
done
printf %s "$dirs" | while read -r dir; do rm -rf "$dir"; done

#!/usr/bin/env bash
# deploy/image.sh --init PATH --proxy PATH --app PATH --config init.json [--manifest PATH] [--modules DIR]
#     --out initramfs.cpio.gz
#
# Packs the initramfs of an enclave. The same files give the same bytes, whoever runs it, where and
# when: entries are sorted, belong to root, have the time 0 and modes of their own; the compressed
# file holds no time and no name.
#
#   --init     the binary steve-init           -> /init
#   --proxy    the binary steve-proxy          -> /usr/bin/steve-proxy
#   --app      the app: a file                 -> /usr/bin/app
#              or a directory                  -> / (must hold what app.command names)
#   --config   the configuration of init       -> /etc/steve/init.json
#   --manifest the app's manifest              -> /etc/steve/manifest.json
#   --modules  a directory of kernel modules   -> /lib/modules/*.ko (uncompressed)
#
# A file that its owner may execute may be executed by everybody, others by nobody.
#
# It prints the SHA-256 of the archive, before and after compression. The first depends on the files
# only, the second on the version of gzip, too.
# Needs: bash, coreutils, findutils, gzip.
set -euo pipefail
export LC_ALL=C
# gzip would take options from it.
unset GZIP
shopt -s inherit_errexit

fail() {
    printf 'image.sh: %s\n' "$*" >&2
    exit 1
}

init='' proxy='' app='' config='' manifest='' modules='' out=''
while [[ $# -gt 0 ]]; do
    case $1 in
        --init | --proxy | --app | --config | --manifest | --modules | --out)
            [[ $# -ge 2 ]] || fail "$1 needs a value"
            declare "${1#--}=$2"
            shift 2
            ;;
        -h | --help)
            sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
            exit
            ;;
        *) fail "unknown option $1" ;;
    esac
done
for option in init proxy app config out; do
    [[ -n ${!option} ]] || fail "--$option is missing"
done
for file in "$init" "$proxy" "$config"; do
    [[ -f $file ]] || fail "$file is no file"
done

# What goes in: path in the image -> file here
declare -A source=(
    [init]=$init
    [usr/bin/steve-proxy]=$proxy
    [etc/steve/init.json]=$config
)

# add PATH FILE: refuses to replace what is there, and what an archive cannot name
add() {
    [[ $1 != *$'\n'* ]] || fail "a name in ${2%%$'\n'*}… has a line break"
    [[ $1 != 'TRAILER!!!' ]] || fail "$2: this name is the end of an archive"
    case $1 in dev/console | dev/null) fail "$2: /$1 is a device of the image" ;; esac
    [[ -z ${source[$1]:-} ]] || fail "two files would be /$1"
    source[$1]=$2
}

# add_all PREFIX DIRECTORY FIND_TEST...: the files in a directory for which the test holds
add_all() {
    local path
    while IFS= read -r -d '' path; do
        add "$1${path#"$2/"}" "$path"
    done < <(find "$2/" "${@:3}" -print0)
    wait "$!" || fail "not all of $2 can be read"
}

if [[ -n $manifest ]]; then
    [[ -f $manifest ]] || fail "$manifest is no file"
    add etc/steve/manifest.json "$manifest"
fi
if [[ -d $app ]]; then
    add_all '' "$app" ! -type d
elif [[ -f $app ]]; then
    add usr/bin/app "$app"
else
    fail "$app is neither a file nor a directory"
fi
if [[ -n $modules ]]; then
    [[ -d $modules ]] || fail "$modules is no directory"
    add_all lib/modules/ "$modules" -maxdepth 1 -name '*.ko'
fi

# Directories: the parents of the files, and those that init mounts at.
declare -A directory=([dev]=1 [proc]=1 [run]=1 [sys]=1 [tmp]=1)
for path in "${!source[@]}"; do
    while [[ $path == */* ]]; do
        path=${path%/*}
        directory[$path]=1
    done
done
for path in "${!directory[@]}"; do
    [[ -z ${source[$path]:-} ]] || fail "/$path would be a directory and ${source[$path]}"
done

inode=0

# entry NAME MODE LINKS SIZE [MAJOR MINOR]: a header of the format newc, see the kernel's
# Documentation/driver-api/early-userspace/buffer-format.rst
entry() {
    local name=$1
    inode=$((inode + 1))
    # inode mode uid gid links mtime size, device 2x, special device 2x, length of the name, checksum
    printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X' \
        "$inode" "$2" 0 0 "$3" 0 "$4" 0 0 "${5:-0}" "${6:-0}" $((${#name} + 1)) 0
    printf '%s\0' "$name"
    pad $((110 + ${#name} + 1))
}

# pad LENGTH: zeros up to a multiple of 4
pad() {
    local zeros=$((-$1 & 3))
    [[ $zeros -eq 0 ]] || head -c "$zeros" /dev/zero
}

archive() {
    local path file size mode target
    while IFS= read -r path; do
        if [[ -n ${directory[$path]:-} ]]; then
            mode=0755
            [[ $path != tmp ]] || mode=01777
            entry "$path" $((0040000 | mode)) 2 0
            continue
        fi
        file=${source[$path]}
        if [[ -L $file && $file == "$app/"* ]]; then
            target=$(readlink "$file")
            entry "$path" $((0120777)) 1 "${#target}"
            printf '%s' "$target"
            pad "${#target}"
        elif [[ -f $file ]]; then
            mode=0644
            # Not `-x`: that depends on who asks, and on the file system's options.
            (((8#$(stat -L -c %a "$file") & 0100) == 0)) || mode=0755
            size=$(stat -L -c %s "$file")
            ((size < 2 ** 32)) || fail "$file is too large for the format"
            entry "$path" $((0100000 | mode)) 1 "$size"
            cat "$file"
            pad "$size"
        else
            fail "$file is neither a file nor a symbolic link"
        fi
    done < <(printf '%s\n' "${!directory[@]}" "${!source[@]}" | sort -u)
    # What is open before anything is mounted: the kernel's console for PID 1
    entry dev/console $((0020600)) 1 0 5 1
    entry dev/null $((0020666)) 1 0 1 3
    inode=-1
    entry 'TRAILER!!!' 0 1 0
}

raw=$out.raw
trap 'rm -f "$raw"' EXIT
archive >"$raw"
gzip -9 -n <"$raw" >"$out"
printf '%s  cpio, %s bytes\n' "$(sha256sum <"$raw" | cut -d' ' -f1)" "$(stat -c %s "$raw")"
printf '%s  %s\n' "$(sha256sum <"$out" | cut -d' ' -f1)" "$out"

# Shared by ./test and the scripts beside this file; source it from the root of the repository.
# shellcheck shell=bash disable=SC2034
shopt -s inherit_errexit

# Tools and environments that ./test installs; survives `cargo clean`.
cache=${STEVE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/steve-test}
target=${CARGO_TARGET_DIR:-target}

# A lockfile that does not match the manifests is an error in CI and is updated elsewhere.
locked=
[[ ${CI:-} != true ]] || locked=--locked

have() {
    command -v "$1" >/dev/null 2>&1
}

say() {
    printf '%s\n' "$*"
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Ends the stage as SKIPPED: something that it needs is missing and could not be installed.
skip() {
    printf 'skipped: %s\n' "$*" >&2
    printf '%s\n' "$*" >"${STEVE_TEST_REASON:-/dev/null}"
    exit 77
}

# need COMMAND PACKAGE...: installs Debian packages when the command is missing.
need() {
    local command=$1
    shift
    have "$command" || apt_install "$@" || skip "$command is missing; install the package $*"
}

need_file() {
    [[ -e $1 ]] || skip "$1 is not in the tree"
}

# As root, or where sudo asks for no password; false on systems without apt.
apt_install() {
    have apt-get || return 1
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    if [[ $EUID -ne 0 ]]; then
        have sudo && sudo -n true 2>/dev/null || return 1
        apt=(sudo -n "${apt[@]}")
    fi
    say "installing: $*"
    "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null 2>&1 && return
    "${apt[@]}" update >/dev/null && "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null
}

# bounded SECONDS COMMAND...: ends the command and all that it started at the limit (exit code 124)
# or when this shell is told to stop. The command gets no stdin.
bounded() {
    local child rc=0
    set -m # a process group of its own
    timeout -k 10 "$@" </dev/null &
    child=$!
    set +m
    trap 'kill "$child" || true; wait "$child" || true; kill_rest "$child"; exit 130' INT TERM
    wait "$child" || rc=$?
    trap - INT TERM
    kill_rest "$child"
    return "$rc"
}

# kill_rest PID: what is still there of its process group
kill_rest() {
    kill -KILL -- "-$1" 2>/dev/null || true
}

# python_env REQUIREMENTS: sets `python` to the interpreter of a cached environment that has them.
python_env() {
    need python3 python3 python3-venv
    local key venv
    key=$( (command -v python3; python3 -VV; cat "$1") | sha256sum | cut -c1-16)
    venv=$cache/python-$key
    if [[ ! -e $venv/ready ]]; then
        say "installing $1 into $venv"
        mkdir -p "$cache"
        python3 -m venv --clear "$venv" 2>/dev/null \
            || { apt_install python3-venv && python3 -m venv --clear "$venv"; } \
            || skip "python3 has no venv; install the package python3-venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$1"
        touch "$venv/ready"
    fi
    python=$venv/bin/python
}

# cargo_tool NAME VERSION: puts the tool on PATH, built without optimisation once if it is not there.
cargo_tool() {
    have "$1" && return
    local tool_root=$cache/$1-$2
    if [[ ! -x $tool_root/bin/$1 ]]; then
        say "installing $1 $2 into $tool_root"
        env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 \
            cargo install --quiet --locked --debug --root "$tool_root" --version "$2" "$1"
    fi
    PATH=$tool_root/bin:$PATH
}

# native_library PROFILE: the path of the library behind the bindings, as this system names it
native_library() {
    local name=libsteve_native.so
    [[ $(uname) != Darwin ]] || name=libsteve_native.dylib
    printf '%s/%s/%s\n' "$(realpath "$target")" "$1" "$name"
}

# remap_flags RUSTC: flags, one a line, with which binaries do not depend on where the sources, the
# registry and the compiler are.
remap_flags() {
    printf -- '--remap-path-prefix=%s=%s\n' \
        "$("$1" --print sysroot)/lib/rustlib/src/rust" \
        "/rustc/$("$1" -vV | sed -n 's/^commit-hash: //p')" \
        "${CARGO_HOME:-$HOME/.cargo}" /cargo \
        "$PWD" /steve
}

//! What `deploy/image.sh` packs.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../image.sh");

struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image").join(name);
        fs::remove_dir_all(&directory).ok();
        let files = Self(directory);
        for name in ["init", "proxy", "config", "app/usr/bin/app", "modules/vsock.ko"] {
            files.write(name, 0o644);
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Its own name is its content.
    fn write(&self, name: &str, mode: u32) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), name).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn pack(&self, change: impl FnOnce(&mut Command)) -> Output {
        let mut script = Command::new("bash");
        script.arg(SCRIPT).current_dir(&self.0);
        script.args(["--init", "init", "--proxy", "proxy", "--config", "config"]);
        script.args(["--app", "app", "--modules", "modules", "--out", "out"]);
        change(&mut script);
        script.output().unwrap()
    }

    /// The archive, as packed into one file.
    fn archive(&self) -> Vec<u8> {
        let packed = self.pack(|_| ());
        assert!(packed.status.success(), "{packed:?}");
        fs::read(self.path("out")).unwrap()
    }

    /// Names and modes, in their order.
    fn entries(&self) -> Vec<(String, u32)> {
        self.archive();
        let unpacked = Command::new("gzip").args(["-dc"]).arg(self.path("out")).output().unwrap();
        let (mut rest, mut entries) = (&unpacked.stdout[..], Vec::new());
        while !rest.is_empty() {
            let field = |number: usize| {
                let digits = str::from_utf8(&rest[6 + 8 * number..][..8]).unwrap();
                usize::from_str_radix(digits, 16).unwrap()
            };
            let (mode, size, name_len) = (field(1), field(6), field(11));
            let name = str::from_utf8(&rest[110..][..name_len - 1]).unwrap();
            entries.push((name.to_owned(), mode as u32));
            let end = (110 + name_len).next_multiple_of(4);
            rest = &rest[(end + size).next_multiple_of(4)..];
        }
        entries
    }

    fn refusal(&self) -> String {
        let packed = self.pack(|_| ());
        assert_eq!(packed.status.code(), Some(1), "{packed:?}");
        assert!(!self.path("out").exists());
        String::from_utf8(packed.stderr).unwrap()
    }
}

#[test]
fn everything_is_there_once_and_in_order() {
    let files = Files::new("all");
    symlink("usr/bin", files.path("app/bin")).unwrap();
    for name in ["app/@", "app/*", "app/a]b", "app/$(exit 3)"] {
        files.write(name, 0o644);
    }
    let entries = files.entries();
    let names: Vec<_> = entries.iter().map(|(name, _)| &name[..]).collect();
    let expected = "$(exit 3),*,@,a]b,bin,dev,etc,etc/steve,etc/steve/init.json,init,lib,lib/modules,\
        lib/modules/vsock.ko,proc,run,sys,tmp,usr,usr/bin,usr/bin/app,usr/bin/steve-proxy,\
        dev/console,dev/null,TRAILER!!!";
    assert_eq!(names.join(","), expected);
}

#[test]
fn the_owners_permission_makes_a_file_executable() {
    let files = Files::new("modes");
    for (name, mode, expected) in
        [("app/a", 0o744, 0o755), ("app/b", 0o700, 0o755), ("app/c", 0o655, 0o644)]
    {
        files.write(name, mode);
        let name = name.strip_prefix("app/").unwrap().to_owned();
        assert!(files.entries().contains(&(name, 0o10_0000 | expected)), "{mode:o}");
    }
}

#[test]
fn the_environment_changes_nothing() {
    let files = Files::new("environment");
    // Long enough for --rsyncable to make a difference.
    let words = (0..1_u64 << 17).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    fs::write(files.path("app/long"), words.collect::<Vec<_>>().concat()).unwrap();
    let here = files.archive();
    files.write("elsewhere/app/other", 0o644);
    let packed = files.pack(|script| {
        script.env("GZIP", "--rsyncable").env("CDPATH", files.path("elsewhere"));
        script.env("LC_ALL", "C.UTF-8").env("TZ", "Pacific/Kiritimati");
    });
    assert!(packed.status.success(), "{packed:?}");
    assert!(fs::read(files.path("out")).unwrap() == here);
}

#[test]
fn nothing_is_replaced_or_left_out() {
    for (name, said) in [
        ("app/init", "two files would be /init"),
        ("app/usr/bin/steve-proxy", "two files would be /usr/bin/steve-proxy"),
        ("app/lib/modules/vsock.ko", "two files would be /lib/modules/vsock.ko"),
        ("app/tmp", "/tmp would be a directory and app/tmp"),
        ("app/dev/console", "/dev/console is a device of the image"),
        ("app/TRAILER!!!", "this name is the end of an archive"),
        ("app/a\nb", "has a line break"),
        ("modules/a\nb.ko", "has a line break"),
    ] {
        let files = Files::new("refused");
        files.write(name, 0o644);
        let refusal = files.refusal();
        assert!(refusal.contains(said), "{refusal}");
    }
    let files = Files::new("refused");
    symlink("elsewhere", files.path("app/etc")).unwrap();
    let refusal = files.refusal();
    assert!(refusal.contains("/etc would be a directory and app/etc"), "{refusal}");
}

/// `find` stands in for one that may not read everything: root may.
#[test]
fn a_directory_that_cannot_be_read_is_an_error() {
    let files = Files::new("unreadable");
    files.write("bin/find", 0o755);
    fs::write(files.path("bin/find"), "#!/bin/sh\nexit 1\n").unwrap();
    let path = format!("{}:{}", files.path("bin").display(), std::env::var("PATH").unwrap());
    let packed = files.pack(|script| {
        script.env("PATH", path);
    });
    assert_eq!(packed.status.code(), Some(1), "{packed:?}");
    assert!(String::from_utf8_lossy(&packed.stderr).contains("not all of app can be read"));
}

#[test]
fn a_manifest_is_put_where_the_proxy_is_told_to_look() {
    let files = Files::new("manifest");
    files.write("manifest.json", 0o600);
    let packed = files.pack(|script| {
        script.args(["--manifest", "manifest.json"]);
    });
    assert!(packed.status.success(), "{packed:?}");
    let unpacked = Command::new("gzip").args(["-dc"]).arg(files.path("out")).output().unwrap();
    let text = String::from_utf8_lossy(&unpacked.stdout);
    assert!(text.contains("etc/steve/manifest.json\0"), "{text}");
    files.write("app/etc/steve/manifest.json", 0o600);
    let packed = files.pack(|script| {
        script.args(["--manifest", "manifest.json"]);
    });
    let said = String::from_utf8(packed.stderr).unwrap();
    assert!(said.contains("two files would be /etc/steve/manifest.json"), "{said}");
}

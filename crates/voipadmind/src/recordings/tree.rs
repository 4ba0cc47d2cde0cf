//! Files below the recordings' folder, and nothing else: the kernel itself resolves each path beneath it, and follows no
//! symbolic link (openat2(2), RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS; Linux 5.6).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, open, openat2, unlinkat};

/// The folder that holds one tree a node.
#[derive(Debug, Clone)]
pub(super) struct Trees {
    dir: PathBuf,
}

impl Trees {
    pub(super) fn below(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Whether a node's tree is there at all. Where it is not, nothing can be said of its files.
    pub(super) fn has(&self, node: &str) -> io::Result<()> {
        self.folder(Path::new(node)).map(drop)
    }

    /// A regular file of a node's tree, to be read, and its size.
    pub(super) fn open(&self, node: &str, path: &str) -> io::Result<(File, u64)> {
        // NONBLOCK: a FIFO that somebody put there must not hang us.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(self.resolve(&Path::new(node).join(path), flags)?);
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"));
        }
        Ok((file, found.len()))
    }

    /// Deletes a file of a node's tree; one that is gone already is as good.
    pub(super) fn delete(&self, node: &str, path: &str) -> io::Result<()> {
        let path = Path::new(node).join(path);
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let deleted = self.folder(folder).and_then(|folder| Ok(unlinkat(folder, name, AtFlags::empty())?));
        match deleted {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        self.resolve(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let dir = open(&self.dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(dir, path, flags, Mode::empty(), beneath)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_of_the_trees_is_opened_or_deleted() {
        let temp = tempfile::tempdir().unwrap();
        let day = temp.path().join("recordings/n1/2026/11/22");
        fs::create_dir_all(&day).unwrap();
        let secret = temp.path().join("secret.wav");
        for file in [&secret, &day.join("a.wav")] {
            fs::write(file, "audio").unwrap();
        }
        symlink(&secret, day.join("link.wav")).unwrap();
        symlink(temp.path(), temp.path().join("recordings/n1/up")).unwrap();
        let fifo = day.join("fifo.wav");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();

        let trees = Trees::below(&temp.path().join("recordings"));
        assert_eq!(trees.open("n1", "2026/11/22/a.wav").unwrap().1, 5);
        assert!(trees.has("n1").is_ok() && trees.has("n2").is_err());
        let absolute = secret.to_str().unwrap();
        for (node, path) in [
            ("n1", "../../secret.wav"),
            ("..", "secret.wav"),
            ("n1", absolute),
            ("n1", "2026/11/22/link.wav"),
            ("n1", "up/secret.wav"),
            ("n1", "2026/11/22/fifo.wav"),
            ("n1", "2026/11/22"),
            ("n1", ""),
            ("", ""),
            ("n1", "2026/11/22/a.wav\0"),
        ] {
            assert!(trees.open(node, path).is_err(), "{node}/{path}");
        }
        for (node, path) in
            [("n1", "../../secret.wav"), ("n1", absolute), ("n1", "up/secret.wav"), ("n1", "2026")]
        {
            assert!(trees.delete(node, path).is_err(), "{node}/{path}");
        }
        assert!(secret.exists());
        trees.delete("n1", "2026/11/22/a.wav").unwrap();
        trees.delete("n1", "2026/11/22/a.wav").unwrap();
        trees.delete("n1", "2020/01/01/never.wav").unwrap();
        assert!(!day.join("a.wav").exists());
    }
}

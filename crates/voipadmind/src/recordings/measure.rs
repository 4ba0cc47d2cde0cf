//! What a recording's file is: its size, its length, its SHA-256. Blocking, and at a pace that leaves the disk to the calls.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

const PIECE_BYTES: usize = 256 << 10;
/// What hashing reads at most: a quarter of a slow disk.
const BYTES_A_SECOND_MAX: u64 = 64 << 20;
/// A header longer than this is not one that FreeSWITCH writes.
const HEADER_BYTES_MAX: u64 = 64 << 10;
/// What an unfinished header says of the length of its data (libsndfile).
const UNFINISHED: [u32; 3] = [0, u32::MAX, 0x7fff_ffff];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) size: u64,
    pub(super) duration_s: Option<u64>,
    pub(super) sha256: [u8; 32],
}

/// Reads the whole file. What is still written to gives a measure of a moment: only settled files are asked for.
pub(super) fn measure(file: &mut File) -> io::Result<Measured> {
    let length = file.metadata()?.len();
    let duration_s = duration_s(file, length)?;
    file.seek(SeekFrom::Start(0))?;
    let began = Instant::now();
    let (mut sum, mut size) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match file.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            break;
        }
        sum.update(&piece[..read]);
        size += read as u64;
        let due = Duration::from_micros(size * 1_000_000 / BYTES_A_SECOND_MAX);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    Ok(Measured { size, duration_s, sha256: sum.finalize().into() })
}

/// Whole seconds of a RIFF/WAVE file, by its byte rate and the length of its data; of a file whose writer died before he
/// finished the header, by what there is. `None` for anything else.
fn duration_s(file: &mut (impl Read + Seek), length: u64) -> io::Result<Option<u64>> {
    let mut rate = None;
    file.seek(SeekFrom::Start(0))?;
    let mut riff = [0; 12];
    if !whole(file, &mut riff)? || &riff[..4] != b"RIFF" || &riff[8..] != b"WAVE" {
        return Ok(None);
    }
    let mut at = 12;
    while at < HEADER_BYTES_MAX {
        let mut head = [0; 8];
        file.seek(SeekFrom::Start(at))?;
        if !whole(file, &mut head)? {
            return Ok(None);
        }
        let size = u32_at(&head, 4);
        at += 8;
        match &head[..4] {
            b"fmt " => {
                let mut format = [0; 12];
                if !whole(file, &mut format)? {
                    return Ok(None);
                }
                rate = Some(u64::from(u32_at(&format, 8))).filter(|rate| *rate > 0);
            }
            b"data" => {
                let there = length.saturating_sub(at);
                let data = if UNFINISHED.contains(&size) { there } else { u64::from(size).min(there) };
                return Ok(rate.map(|rate| data / rate));
            }
            _ => {}
        }
        // Chunks are padded to an even length.
        at += u64::from(size) + u64::from(size & 1);
    }
    Ok(None)
}

/// False at the end of the file.
fn whole(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    /// 8 kHz, 16 bit, mono, with a chunk of an odd length before the data.
    fn wav(data_says: u32, data: usize) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0LIST\x03\0\0\0abc\0data".to_vec();
        file.extend(data_says.to_le_bytes());
        file.resize(file.len() + data, 7);
        file
    }

    #[test]
    fn the_length_is_the_headers_or_of_what_there_is() {
        let of = |bytes: Vec<u8>| {
            let length = bytes.len() as u64;
            duration_s(&mut Cursor::new(bytes), length).unwrap()
        };
        assert_eq!(of(wav(40_000, 40_000)), Some(2));
        for unfinished in UNFINISHED {
            assert_eq!(of(wav(unfinished, 48_000)), Some(3));
        }
        assert_eq!(of(wav(160_000, 16_000)), Some(1), "a file that was cut");
        assert_eq!(of(wav(0, 0)[..30].to_vec()), None);
        assert_eq!(of(b"RIFF\0\0\0\0WAVE".to_vec()), None);
        assert_eq!(of(b"ID3".to_vec()), None);
        let mut endless = b"RIFF\0\0\0\0WAVE".to_vec();
        endless.extend([0; 4096]);
        assert_eq!(of(endless), None, "chunks of nothing");
    }

    #[test]
    fn measures_a_file() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        let measured = measure(&mut file).unwrap();
        assert_eq!((measured.size, measured.duration_s), (3, None));
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            hex::encode(measured.sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}

//! Disk images of the lab: a header that says format, drivers and identity, then the application's orders.
//!
//! A `vmdk` holds one JSON record per line; a `qcow2` holds the same records each behind its CRC. So a conversion
//! rewrites every record, and a machine cannot boot from the wrong one. An unfinished last record is cut, a damaged one
//! before it is an error and never skipped. Start with [`read`] and [`Writer`].

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const MAGIC: &str = "LABDISK1 ";
/// The header's size; records follow.
pub(crate) const HEADER_BYTES: usize = 512;

/// The layouts that the two platforms read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The source's layout.
    Vmdk,
    /// The target's layout.
    Qcow2,
}

impl Format {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Vmdk => "vmdk",
            Self::Qcow2 => "qcow2",
        }
    }

    fn record(self, raw: &str) -> String {
        match self {
            Self::Vmdk => format!("{raw}\n"),
            Self::Qcow2 => format!("{:08x} {raw}\n", crc32fast::hash(raw.as_bytes())),
        }
    }

    fn parse(self, line: &str) -> Option<&str> {
        match self {
            Self::Vmdk => Some(line),
            Self::Qcow2 => {
                let (sum, raw) = line.split_once(' ')?;
                (u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(raw.as_bytes())).then_some(raw)
            }
        }
    }
}

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// The layout of what follows.
    pub format: Format,
    /// Identity of the image; a copy in another format keeps it.
    pub uuid: String,
    /// The machine that it was made for.
    pub vm: String,
    /// Drivers in the guest, such as `virtio`.
    pub drivers: Vec<String>,
    /// The agent in the guest.
    pub guest_tools: String,
}

/// One order as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The id that the user gave it.
    pub id: String,
    /// The record's JSON text, never rewritten, so that checksums agree across formats.
    pub raw: String,
}

impl Order {
    /// Reads the id out of a record.
    pub(crate) fn parse(raw: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        let id = serde_json::from_str::<Id>(raw).ok()?.id;
        Some(Self { id, raw: raw.to_owned() })
    }
}

/// An image in memory.
#[derive(Debug, Clone)]
pub struct Image {
    /// What it says of itself.
    pub header: Header,
    /// All whole records.
    pub orders: Vec<Order>,
    /// Bytes up to the end of the last whole record.
    pub length: u64,
}

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The file cannot be read or written.
    #[error("cannot {what} the disk image {}", path.display())]
    Io {
        /// Read, write, …
        what: &'static str,
        /// The image.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It does not begin as an image does.
    #[error("{} is no disk image of the lab", path.display())]
    NoImage {
        /// The file.
        path: PathBuf,
    },
    /// A record before the last is damaged.
    #[error("record {record} of the disk image {} is damaged", path.display())]
    Damaged {
        /// The image.
        path: PathBuf,
        /// Counted from 1.
        record: usize,
    },
}

impl DiskError {
    fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }

    /// Whether the file is simply not there.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Reads a whole image.
///
/// # Errors
/// The file cannot be read, is no image, or a record before the last is damaged.
pub fn read(path: &Path) -> Result<Image, DiskError> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(|e| DiskError::io("read", path, e))?;
    parse(&bytes, path)
}

/// Reads the header alone.
///
/// # Errors
/// The file cannot be read or is no image.
pub fn read_header(path: &Path) -> Result<Header, DiskError> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    File::open(path)
        .and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut bytes))
        .map_err(|e| DiskError::io("read", path, e))?;
    parse_header(&bytes, path)
}

fn parse_header(bytes: &[u8], path: &Path) -> Result<Header, DiskError> {
    let no_image = || DiskError::NoImage { path: path.to_owned() };
    let block = bytes.get(..HEADER_BYTES).ok_or_else(no_image)?;
    let text = std::str::from_utf8(block).map_err(|_| no_image())?.strip_prefix(MAGIC).ok_or_else(no_image)?;
    serde_json::from_str(text.trim_end()).map_err(|_| no_image())
}

/// Reads an image from bytes; `path` is for errors only.
pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Image, DiskError> {
    let header = parse_header(bytes, path)?;
    let body = &bytes[HEADER_BYTES..];
    let whole = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut orders = Vec::new();
    for (at, line) in body[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let order = std::str::from_utf8(line)
            .ok()
            .and_then(|line| header.format.parse(line.trim_end_matches('\n')))
            .and_then(Order::parse)
            .ok_or_else(|| DiskError::Damaged { path: path.to_owned(), record: at + 1 })?;
        orders.push(order);
    }
    Ok(Image { header, orders, length: (HEADER_BYTES + whole) as u64 })
}

/// Writes an image beside its place, makes it durable, and moves it there.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn create<'a>(
    path: &Path,
    header: &Header,
    records: impl IntoIterator<Item = &'a str>,
) -> Result<u64, DiskError> {
    let failed = |e| DiskError::io("write", path, e);
    let part = path.with_extension("part");
    let mut bytes = header_block(header).map_err(failed)?;
    for raw in records {
        bytes.extend_from_slice(header.format.record(raw).as_bytes());
    }
    let mut file = File::create(&part).map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.sync_data()).map_err(failed)?;
    std::fs::rename(&part, path).map_err(failed)?;
    Ok(bytes.len() as u64)
}

fn header_block(header: &Header) -> std::io::Result<Vec<u8>> {
    let mut block = format!("{MAGIC}{}", serde_json::to_string(header)?).into_bytes();
    if block.len() >= HEADER_BYTES {
        return Err(std::io::Error::other("the header does not fit its 512 bytes"));
    }
    block.resize(HEADER_BYTES - 1, b' ');
    block.push(b'\n');
    Ok(block)
}

/// Appends records durably.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    path: PathBuf,
    format: Format,
}

impl Writer {
    /// Opens an image for appending and cuts an unfinished last record.
    pub(crate) fn open(path: &Path) -> Result<(Self, Image), DiskError> {
        let image = read(path)?;
        let mut file = OpenOptions::new().write(true).open(path).map_err(|e| DiskError::io("open", path, e))?;
        file.set_len(image.length)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(|e| DiskError::io("open", path, e))?;
        Ok((Self { file, path: path.to_owned(), format: image.header.format }, image))
    }

    /// Appends; returns once the records are on disk.
    pub(crate) fn append<'a>(&mut self, records: impl IntoIterator<Item = &'a str>) -> Result<u64, DiskError> {
        let mut bytes = String::new();
        for raw in records {
            bytes.push_str(&self.format.record(raw));
        }
        let failed = |e| DiskError::io("append to", &self.path, e);
        // Somebody may have written behind us while the application was stopped: the end is asked for, not remembered.
        let end = self.file.seek(SeekFrom::End(0)).map_err(failed)?;
        let written = self.file.write_all(bytes.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a record in the middle of an image would be damage; at its end it is cut anyway, if this fails too.
            drop(self.file.set_len(end));
            return Err(failed(error));
        }
        Ok(bytes.len() as u64)
    }

    /// Takes the lock that one running machine has on its disk; waits for a machine that is ending.
    pub(crate) fn lock(&self) -> Result<(), DiskError> {
        self.file.lock().map_err(|e| DiskError::io("lock", &self.path, e))
    }
}

/// SHA-256 of the records' text, the same for every format.
#[must_use]
pub fn checksum<'a>(orders: impl IntoIterator<Item = &'a Order>) -> String {
    let mut hash = Sha256::new();
    for order in orders {
        hash.update(order.raw.as_bytes());
        hash.update(b"\n");
    }
    hex(&hash.finalize())
}

/// SHA-256 of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(format: Format) -> Header {
        Header {
            format,
            uuid: "7d1c".to_owned(),
            vm: "app".to_owned(),
            drivers: vec!["pvscsi".to_owned()],
            guest_tools: "vmware-tools".to_owned(),
        }
    }

    #[test]
    fn the_same_orders_have_the_same_checksum_in_both_formats() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let raws = [r#"{"id":"a"}"#, r#"{"id":"b","n":1}"#];
        let mut sums = Vec::new();
        for format in [Format::Vmdk, Format::Qcow2] {
            let path = dir.path().join(format.as_str());
            create(&path, &header(format), raws).expect("an image");
            let image = read(&path).expect("the image");
            assert_eq!(image.header, header(format));
            sums.push(checksum(&image.orders));
        }
        assert_eq!(sums[0], sums[1]);
    }

    #[test]
    fn an_unfinished_record_is_cut_and_a_damaged_one_is_an_error() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("disk");
        create(&path, &header(Format::Qcow2), [r#"{"id":"a"}"#, r#"{"id":"b"}"#]).expect("an image");
        let mut bytes = std::fs::read(&path).expect("its bytes");
        bytes.extend_from_slice(b"0123");
        std::fs::write(&path, &bytes).expect("a torn image");
        let (mut writer, image) = Writer::open(&path).expect("torn is no damage");
        assert_eq!(image.orders.len(), 2);
        writer.append([r#"{"id":"c"}"#]).expect("an append");
        assert_eq!(read(&path).expect("whole again").orders.len(), 3);

        bytes[HEADER_BYTES + 12] ^= 1;
        std::fs::write(&path, &bytes).expect("a damaged image");
        assert!(matches!(read(&path), Err(DiskError::Damaged { record: 1, .. })));
    }

    #[test]
    fn what_is_no_image_is_said_to_be_none() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("disk");
        std::fs::write(&path, vec![b' '; 600]).expect("a file");
        assert!(matches!(read(&path), Err(DiskError::NoImage { .. })));
        assert!(read(&dir.path().join("absent")).is_err_and(|error| error.is_absent()));
    }
}

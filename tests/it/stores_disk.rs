//! A disk in memory that records what is done to it, fails on demand, and can lose power.
//!
//! What a program reads is the newest content, as through a page cache. What a power loss leaves is decided per 4 KiB
//! page: a page that was not flushed since it was written keeps its old content or gets the new one. Names that were
//! not flushed with their directory may be lost, in order. A failed flush marks its pages clean without storing them,
//! as Linux does, so that a later flush of the same file does not bring them back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bascule::store::disk::{Created, Disk, DiskFile};

const PAGE: usize = 4096;

/// Something that is about to happen, for a test to let it pass or fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Create(PathBuf),
    Reserve(PathBuf),
    Write(PathBuf, usize),
    Sync(PathBuf),
    Rename(PathBuf),
    SyncDir(PathBuf),
}

/// How a call fails.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fail {
    /// At once.
    With(io::ErrorKind),
    /// A write that takes some bytes and fails when it goes on.
    After(usize, io::ErrorKind),
}

type Plan = Box<dyn FnMut(&Call) -> Option<Fail> + Send>;

/// What happened, in order.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    CreateDir(PathBuf),
    Create(PathBuf, usize),
    Write(usize, u64, Vec<u8>),
    SetLen(usize, u64),
    Sync(usize),
    SyncFailed(usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDir(PathBuf),
    /// The test's own mark: something was acknowledged.
    Ack(String, u64),
}

/// What a power loss does to what was not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing is lost: the process ended, not the machine.
    Nothing,
    /// All of it.
    All,
    /// Everything after some write.
    Suffix(u64),
    /// Any subset of the pages and any end of the names.
    Random(u64),
}

#[derive(Default)]
struct State {
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    files: Vec<Vec<u8>>,
    ops: Vec<Op>,
    plan: Option<Plan>,
    /// Bytes that a write took before it has to fail, per file.
    short: Option<(usize, io::ErrorKind)>,
}

/// The disk.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

struct SimFile {
    disk: SimDisk,
    id: usize,
    path: PathBuf,
}

impl SimDisk {
    /// An empty disk with one directory.
    pub(crate) fn with_dir(dir: &Path) -> Self {
        let disk = Self::default();
        disk.state().dirs.insert(dir.into());
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    /// Lets `plan` decide about every call from now on.
    pub(crate) fn fail_by(&self, plan: impl FnMut(&Call) -> Option<Fail> + Send + 'static) {
        self.state().plan = Some(Box::new(plan));
    }

    /// Everything works again.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.plan = None;
        state.short = None;
    }

    /// Notes that something was acknowledged.
    pub(crate) fn ack(&self, what: &str, version: u64) {
        self.state().ops.push(Op::Ack(what.into(), version));
    }

    pub(crate) fn ops(&self) -> Vec<Op> {
        self.state().ops.clone()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Op) -> bool) -> usize {
        self.state().ops.iter().filter(|op| wanted(op)).count()
    }

    /// The content of a file, as a program reads it.
    pub(crate) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(path).map(|id| state.files[*id].clone())
    }

    /// Changes a file behind everybody's back.
    pub(crate) fn overwrite(&self, path: &Path, content: Vec<u8>) {
        let mut state = self.state();
        let id = *state.names.get(path).expect("the file exists");
        state.files[id] = content;
    }

    pub(crate) fn erase(&self, path: &Path) {
        self.state().names.remove(path);
    }

    pub(crate) fn file_names(&self, dir: &Path) -> Vec<String> {
        self.list(dir).unwrap_or_default()
    }

    /// A copy without history.
    pub(crate) fn copy(&self) -> Self {
        let state = self.state();
        let (dirs, names, files) = (state.dirs.clone(), state.names.clone(), state.files.clone());
        Self(Arc::new(Mutex::new(State { dirs, names, files, ..State::default() })))
    }

    /// What is on the disk now, as operations that put it there durably.
    pub(crate) fn as_recording(&self) -> Vec<Op> {
        let state = self.state();
        let mut ops: Vec<Op> = Vec::new();
        for dir in &state.dirs {
            ops.extend([Op::CreateDir(dir.clone()), Op::SyncDir(dir.parent().unwrap_or(dir).into())]);
        }
        for (path, id) in &state.names {
            let content = state.files[*id].clone();
            ops.extend([Op::Create(path.clone(), *id), Op::Write(*id, 0, content), Op::Sync(*id)]);
            ops.extend(path.parent().map(|dir| Op::SyncDir(dir.into())));
        }
        ops
    }

    fn ask(&self, call: &Call) -> io::Result<()> {
        let mut state = self.state();
        let Some(plan) = &mut state.plan else { return Ok(()) };
        match plan(call) {
            None => Ok(()),
            Some(Fail::With(kind) | Fail::After(_, kind)) => Err(kind.into()),
        }
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.ask(&Call::Create(path.into()))?;
        let mut state = self.state();
        let parent = path.parent().expect("files stand in directories");
        if !state.dirs.contains(parent) {
            return Err(missing());
        }
        let id = state.files.len();
        state.files.push(Vec::new());
        state.names.insert(path.into(), id);
        state.ops.push(Op::Create(path.into(), id));
        Ok(Arc::new(SimFile { disk: self.clone(), id, path: path.into() }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let id = *self.state().names.get(path).ok_or_else(missing)?;
        Ok(Arc::new(SimFile { disk: self.clone(), id, path: path.into() }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(&Call::Rename(to.into()))?;
        let mut state = self.state();
        let id = state.names.remove(from).ok_or_else(missing)?;
        state.names.insert(to.into(), id);
        state.ops.push(Op::Rename(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.names.remove(path).ok_or_else(missing)?;
        state.ops.push(Op::Remove(path.into()));
        Ok(())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<Created> {
        let mut state = self.state();
        if !state.dirs.insert(dir.into()) {
            return Ok(Created::Existing);
        }
        state.ops.push(Op::CreateDir(dir.into()));
        Ok(Created::New)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.ask(&Call::SyncDir(dir.into()))?;
        self.state().ops.push(Op::SyncDir(dir.into()));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        if !state.dirs.contains(dir) {
            return Err(missing());
        }
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let rest = state.files[self.id].get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        if let Some((0, kind)) = state.short {
            return Err(kind.into());
        }
        let call = Call::Write(self.path.clone(), bytes.len());
        let fail = state.plan.as_mut().and_then(|plan| plan(&call));
        let taken = match fail {
            Some(Fail::With(kind)) => return Err(kind.into()),
            Some(Fail::After(count, kind)) => {
                state.short = Some((0, kind));
                &bytes[..count.min(bytes.len())]
            }
            None => bytes,
        };
        put(&mut state.files[self.id], offset, taken);
        state.ops.push(Op::Write(self.id, offset, taken.to_vec()));
        Ok(taken.len())
    }

    fn reserve(&self, _from: u64, _len: u64) -> io::Result<()> {
        self.disk.ask(&Call::Reserve(self.path.clone()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let failed = self.disk.ask(&Call::Sync(self.path.clone()));
        let op = if failed.is_ok() { Op::Sync(self.id) } else { Op::SyncFailed(self.id) };
        self.disk.state().ops.push(op);
        failed
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.files[self.id].resize(len as usize, 0);
        state.ops.push(Op::SetLen(self.id, len));
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.id].len() as u64)
    }
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = offset as usize;
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

/// A file during replay: what the page cache holds, what the disk holds, and which pages differ and may still be
/// written. `dirty` counts pages with the number of the operation that last touched them.
#[derive(Default, Clone)]
struct Replayed {
    cached: Vec<u8>,
    stored: Vec<u8>,
    dirty: BTreeMap<usize, usize>,
    /// The operation that last changed the size, if that is not stored.
    resized: Option<usize>,
}

impl Replayed {
    fn touch(&mut self, from: usize, to: usize, op: usize) {
        for page in from / PAGE..to.div_ceil(PAGE) {
            self.dirty.insert(page, op);
        }
    }

    fn store_page(&mut self, page: usize) {
        let end = ((page + 1) * PAGE).min(self.cached.len());
        if let Some(bytes) = self.cached.get(page * PAGE..end) {
            put(&mut self.stored, (page * PAGE) as u64, bytes);
        }
    }

    fn sync(&mut self) {
        for page in std::mem::take(&mut self.dirty).into_keys() {
            self.store_page(page);
        }
        if self.resized.take().is_some() {
            self.stored.resize(self.cached.len(), 0);
        }
    }
}

/// The disk after a power loss behind the first `count` operations, and what had been acknowledged by then.
pub(crate) fn after_power_loss(ops: &[Op], count: usize, loss: Loss, root: &Path) -> (SimDisk, BTreeMap<String, u64>) {
    let mut replay = Replay::default();
    replay.dirs.insert(root.into());
    for (index, op) in ops[..count].iter().enumerate() {
        replay.apply(index, op);
    }
    let acked = std::mem::take(&mut replay.acked);
    (replay.cut(loss, count), acked)
}

#[derive(Default)]
struct Replay {
    files: BTreeMap<usize, Replayed>,
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    /// Changes of names that their directory's flush has not stored yet, in order.
    pending: Vec<(usize, PathBuf, Op)>,
    acked: BTreeMap<String, u64>,
}

impl Replay {
    fn apply(&mut self, index: usize, op: &Op) {
        match op {
            Op::CreateDir(path) | Op::Remove(path) => self.push_name(index, path, op),
            Op::Create(path, id) => {
                self.files.insert(*id, Replayed::default());
                self.push_name(index, path, op);
            }
            Op::Rename(_, to) => self.push_name(index, to, op),
            Op::Write(id, offset, bytes) => {
                let file = self.files.entry(*id).or_default();
                if file.cached.len() < *offset as usize + bytes.len() {
                    file.resized = Some(index);
                }
                put(&mut file.cached, *offset, bytes);
                file.touch(*offset as usize, *offset as usize + bytes.len(), index);
            }
            Op::SetLen(id, len) => {
                let file = self.files.entry(*id).or_default();
                file.cached.resize(*len as usize, 0);
                file.resized = Some(index);
            }
            Op::Sync(id) => self.files.entry(*id).or_default().sync(),
            Op::SyncFailed(id) => {
                let file = self.files.entry(*id).or_default();
                file.dirty.clear();
                file.resized = None;
            }
            Op::SyncDir(dir) => {
                let (stored, rest): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut self.pending).into_iter().partition(|(_, parent, _)| parent == dir);
                self.pending = rest;
                for (_, _, op) in stored {
                    self.name(&op);
                }
            }
            Op::Ack(what, version) => {
                self.acked.insert(what.clone(), *version);
            }
        }
    }

    fn push_name(&mut self, index: usize, path: &Path, op: &Op) {
        let parent = path.parent().expect("files stand in directories").to_owned();
        self.pending.push((index, parent, op.clone()));
    }

    fn name(&mut self, op: &Op) {
        match op {
            Op::CreateDir(path) => {
                self.dirs.insert(path.clone());
            }
            Op::Create(path, id) => {
                self.names.insert(path.clone(), *id);
            }
            Op::Rename(from, to) => {
                if let Some(id) = self.names.remove(from) {
                    self.names.insert(to.clone(), id);
                }
            }
            Op::Remove(path) => {
                self.names.remove(path);
            }
            Op::Write(..) | Op::SetLen(..) | Op::Sync(_) | Op::SyncFailed(_) | Op::SyncDir(_) | Op::Ack(..) => {}
        }
    }

    fn cut(mut self, loss: Loss, count: usize) -> SimDisk {
        let mut random = match loss {
            Loss::Suffix(seed) | Loss::Random(seed) => fastrand_like(seed),
            Loss::Nothing | Loss::All => fastrand_like(1),
        };
        let limit = (random() as usize) % (count + 1);
        let mut survives = |op: usize| match loss {
            Loss::Nothing => true,
            Loss::All => false,
            Loss::Suffix(_) => op < limit,
            Loss::Random(_) => random() % 2 == 0,
        };
        for file in self.files.values_mut() {
            if file.resized.is_some_and(&mut survives) {
                file.stored.resize(file.cached.len(), 0);
            }
            for (page, op) in std::mem::take(&mut file.dirty) {
                if page * PAGE < file.stored.len() && survives(op) {
                    let len = file.stored.len();
                    file.store_page(page);
                    file.stored.truncate(len);
                }
            }
        }
        for (op, _, change) in std::mem::take(&mut self.pending) {
            // Names are stored in order: what follows a lost one is lost, too.
            if !survives(op) {
                break;
            }
            self.name(&change);
        }
        let names = self.names.into_iter().filter(|(path, _)| path.parent().is_some_and(|dir| self.dirs.contains(dir)));
        let names: BTreeMap<PathBuf, usize> = names.collect();
        let last = self.files.keys().next_back().map_or(0, |id| id + 1);
        let mut files = vec![Vec::new(); last];
        for (id, file) in self.files {
            files[id] = if loss == Loss::Nothing { file.cached } else { file.stored };
        }
        SimDisk(Arc::new(Mutex::new(State { dirs: self.dirs, names, files, ..State::default() })))
    }
}

/// A small generator, so that a failing image can be built again from its seed.
pub(crate) fn fastrand_like(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 8
    }
}

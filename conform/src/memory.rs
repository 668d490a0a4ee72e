//! Memory that processes share, bare: a page for forked children, and System V's segments.
#![allow(unsafe_code, reason = "mappings, and stores into memory that another process stores into")]

use std::io;

/// A page that forked children share with their parent (MAP_SHARED, MAP_ANONYMOUS), read and written by bytes.
pub struct Page(*mut u8);

/// Its size.
pub const PAGE: usize = 4096;

impl Page {
    /// Zeroes.
    ///
    /// # Errors
    /// Of mmap(2).
    pub fn new() -> io::Result<Page> {
        let (rights, how) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping where the kernel wants it.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, rights, how, -1, 0) };
        if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Page(at.cast())) }
    }

    /// Stores bytes from the beginning, one after the other.
    pub fn write(&self, bytes: &[u8]) {
        for (i, byte) in bytes.iter().enumerate().take(PAGE) {
            // SAFETY: within the page, which is mapped as long as this lives.
            let at = unsafe { self.0.add(i) };
            // SAFETY: as above; others may store there, so it is volatile.
            unsafe { at.write_volatile(*byte) };
        }
    }

    /// The first bytes.
    #[must_use]
    pub fn read(&self, len: usize) -> Vec<u8> {
        let byte = |i| {
            // SAFETY: as in `write`.
            let at = unsafe { self.0.add(i) };
            // SAFETY: the same.
            unsafe { at.read_volatile() }
        };
        (0..len.min(PAGE)).map(byte).collect()
    }

    /// Where it is mapped.
    #[must_use]
    pub fn address(&self) -> usize {
        self.0.addr()
    }

    /// What write(2) says of this memory when it is mapped no more.
    ///
    /// # Errors
    /// That.
    pub fn after_unmapping(self, to: &io::PipeWriter) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let at = self.0;
        drop(self);
        // SAFETY: the kernel looks whether there is something to read, and says EFAULT.
        let written = unsafe { libc::write(to.as_raw_fd(), at.cast(), 1) };
        if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; nobody keeps a reference.
        unsafe { libc::munmap(self.0.cast(), PAGE) };
    }
}

/// A segment of System V's shared memory, by its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedSegment(i32);

/// How a segment is doing: how many have it attached, and whether it goes with the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// `shm_nattch`
    pub times: u64,
    /// SHM_DEST
    pub to_be_destroyed: bool,
}

impl SharedSegment {
    /// shmget(2) of a page.
    ///
    /// # Errors
    /// Its.
    pub fn get(key: i32, flags: i32) -> io::Result<SharedSegment> {
        // SAFETY: numbers.
        let id = unsafe { libc::shmget(key, PAGE, flags) };
        if id < 0 { Err(io::Error::last_os_error()) } else { Ok(SharedSegment(id)) }
    }

    /// shmat(2), wherever the kernel wants it. The mapping ends when it is dropped.
    ///
    /// # Errors
    /// Its.
    pub fn attach(self) -> io::Result<Page> {
        // SAFETY: a new mapping where the kernel wants it.
        let at = unsafe { libc::shmat(self.0, std::ptr::null(), 0) };
        // As C has it: an address that is -1 is an error.
        if at.addr() == usize::MAX { Err(io::Error::last_os_error()) } else { Ok(Page(at.cast())) }
    }

    /// shmctl(2) with IPC_STAT.
    ///
    /// # Errors
    /// Its.
    pub fn stat(self) -> io::Result<Attached> {
        // SAFETY: numbers, of which zero bits are a value.
        let mut found: libc::shmid_ds = unsafe { std::mem::zeroed() };
        // SAFETY: it lives across the call.
        if unsafe { libc::shmctl(self.0, libc::IPC_STAT, &raw mut found) } < 0 {
            return Err(io::Error::last_os_error());
        }
        const SHM_DEST: u32 = 0o1000;
        let to_be_destroyed = u32::from(found.shm_perm.mode) & SHM_DEST != 0;
        Ok(Attached { times: found.shm_nattch, to_be_destroyed })
    }

    /// shmctl(2) with IPC_RMID.
    ///
    /// # Errors
    /// Its.
    pub fn remove(self) -> io::Result<()> {
        // SAFETY: no pointer.
        let done = unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

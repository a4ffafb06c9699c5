//! SQLite's way to the disk, with a [`Disk`] in between for files in directories that a test has claimed. Everything
//! is still done for real; what happens is written down, and can be made to fail.

#![expect(unsafe_code, reason = "a VFS is a table of C functions")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::size_of;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, OnceLock};

use rusqlite::ffi::{
    SQLITE_IOERR_WRITE, SQLITE_OK, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs,
    sqlite3_vfs_find, sqlite3_vfs_register,
};

use crate::disk::{Disk, Event, claimed};

/// Puts the shim between SQLite and its own VFS, for every connection opened from now on.
pub(crate) fn install() {
    INSTALLED.get_or_init(|| {
        // SAFETY: SQLite's default VFS is registered for the life of the process; what is registered here is leaked.
        unsafe {
            let real = sqlite3_vfs_find(ptr::null());
            assert!(!real.is_null(), "SQLite has a way to the disk");
            let mut shim = *real;
            shim.zName = c"cloakroom-test".as_ptr();
            shim.pNext = ptr::null_mut();
            shim.szOsFile += c_int::try_from(size_of::<File>()).expect("small");
            shim.xOpen = Some(open);
            shim.xDelete = Some(delete);
            let shim = Box::leak(Box::new(shim));
            assert_eq!(sqlite3_vfs_register(shim, 1), SQLITE_OK);
            Real(real)
        }
    });
}

/// A file of a claimed directory; SQLite's own follows it in memory.
#[repr(C)]
struct File {
    base: sqlite3_file,
    /// An `Arc<Disk>` and the file's name, owned.
    state: *mut State,
}

struct State {
    disk: Arc<Disk>,
    name: String,
}

struct Real(*mut sqlite3_vfs);

// SAFETY: SQLite's own VFS may be used from every thread.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

static INSTALLED: OnceLock<Real> = OnceLock::new();

fn real_vfs() -> *mut sqlite3_vfs {
    INSTALLED.get().expect("the shim is only called once it is installed").0
}

/// The claimed disk that a path lies on, and the file's name there.
///
/// # Safety
/// `path` is null or a C string.
unsafe fn place(path: *const c_char) -> Option<State> {
    if path.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    let path = Path::new(unsafe { CStr::from_ptr(path) }.to_str().ok()?);
    let name = path.file_name()?.to_str()?.to_owned();
    Some(State { disk: claimed(path.parent()?)?, name })
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    path: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite hands over its own arguments, and room for both files.
    unsafe {
        let vfs = real_vfs();
        let real_open = (*vfs).xOpen.expect("every VFS opens");
        let Some(state) = place(path) else { return real_open(vfs, path, file, flags, out_flags) };
        let code = real_open(vfs, path, behind(file), flags, out_flags);
        (*file).pMethods = if (*behind(file)).pMethods.is_null() { ptr::null() } else { &raw const METHODS };
        if code == SQLITE_OK {
            (*file.cast::<File>()).state = Box::into_raw(Box::new(state));
        } else {
            (*file).pMethods = ptr::null();
        }
        code
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, path: *const c_char, sync_directory: c_int) -> c_int {
    // SAFETY: SQLite hands over its own arguments.
    unsafe {
        if let Some(State { disk, name }) = place(path) {
            disk.deleted(&name);
        }
        let vfs = real_vfs();
        (*vfs).xDelete.expect("every VFS deletes")(vfs, path, sync_directory)
    }
}

/// SQLite's own file behind ours.
///
/// # Safety
/// `file` was opened by [`open`], or is being.
unsafe fn behind(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: `szOsFile` says that there is room for both.
    unsafe { file.cast::<u8>().add(size_of::<File>()).cast() }
}

/// # Safety
/// `file` was opened by [`open`].
unsafe fn state<'a>(file: *mut sqlite3_file) -> &'a State {
    // SAFETY: set by `open`, taken back by `close`.
    unsafe { &*(*file.cast::<File>()).state }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes what it opened, once.
    unsafe {
        drop(Box::from_raw((*file.cast::<File>()).state));
        let real = behind(file);
        (*(*real).pMethods).xClose.expect("every file closes")(real)
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    data: *const c_void,
    size: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite hands over its own arguments.
    unsafe {
        let State { disk, name } = state(file);
        let (Ok(length), Ok(start)) = (usize::try_from(size), usize::try_from(offset)) else {
            return SQLITE_IOERR_WRITE;
        };
        let bytes = std::slice::from_raw_parts(data.cast::<u8>(), length);
        if let Err(code) = disk.allows(Event::Write, name).and_then(|()| disk.has_room(name, start + length))
        {
            return code;
        }
        let real = behind(file);
        let code = (*(*real).pMethods).xWrite.expect("every file is written to")(real, data, size, offset);
        if code == SQLITE_OK {
            disk.written(name, start, bytes);
        }
        code
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: SQLite hands over its own arguments.
    unsafe {
        let State { disk, name } = state(file);
        disk.truncated(name, usize::try_from(size).unwrap_or(0));
        let real = behind(file);
        (*(*real).pMethods).xTruncate.expect("every file is cut")(real, size)
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite hands over its own arguments.
    unsafe {
        let State { disk, name } = state(file);
        if let Err(code) = disk.allows(Event::Sync, name) {
            return code;
        }
        let real = behind(file);
        let code = (*(*real).pMethods).xSync.expect("every file is synced")(real, flags);
        if code == SQLITE_OK {
            disk.synced(name);
        }
        code
    }
}

/// Methods that only pass on.
macro_rules! pass_on {
    ($($name:ident = $method:ident($($argument:ident: $type:ty),*) $(-> $answer:ty)?;)+) => {$(
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) $(-> $answer)? {
            // SAFETY: SQLite hands over its own arguments, to a method that its own file has.
            unsafe {
                let real = behind(file);
                (*(*real).pMethods).$method.expect("the method is there")(real $(, $argument)*)
            }
        }
    )+};
}

pass_on! {
    read = xRead(data: *mut c_void, size: c_int, offset: sqlite3_int64) -> c_int;
    file_size = xFileSize(size: *mut sqlite3_int64) -> c_int;
    lock = xLock(level: c_int) -> c_int;
    unlock = xUnlock(level: c_int) -> c_int;
    check_reserved_lock = xCheckReservedLock(answer: *mut c_int) -> c_int;
    file_control = xFileControl(operation: c_int, argument: *mut c_void) -> c_int;
    sector_size = xSectorSize() -> c_int;
    device_characteristics = xDeviceCharacteristics() -> c_int;
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, answer: *mut *mut c_void) -> c_int;
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier = xShmBarrier();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int;
    fetch = xFetch(offset: sqlite3_int64, size: c_int, answer: *mut *mut c_void) -> c_int;
    unfetch = xUnfetch(offset: sqlite3_int64, page: *mut c_void) -> c_int;
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};

//! `execve` and its kin: a block that comes from overhear's gets back what [`crate::block::take_own`]
//! took out of it. Any other is handed on as it is: who starts a program with an environment made
//! from nothing means it.

use crate::sys::{self, Texts};
use crate::text::Writer;
use crate::{block, memory, next};
use core::arch::naked_asm;
use core::ffi::{c_char, c_int, c_void};
use core::mem::MaybeUninit;
use overhear_trace_abi::handle::TEXT_BYTES_MAX;
use overhear_trace_abi::{ENV_HANDLE, ENV_LOADER};

const ENOSYS: c_int = 38;
/// Room for blocks of this many words is on the stack; larger ones get memory of their own.
const STACK_WORDS: usize = 512;
const WORD: usize = size_of::<usize>();

/// Hands a block on, with what is ours in it if it is to have that. `run` returns only where nothing
/// was executed in this process.
unsafe fn with_own(env: Texts, run: &dyn Fn(Texts) -> c_int) -> c_int {
    // SAFETY: the block is a list of texts that ends with null.
    let outgoing = unsafe { block::look(env) };
    let (true, Some(library)) = (outgoing.needs_own && memory::is_on(), memory::library()) else {
        return run(env);
    };
    let loader_before = outgoing.loader.map_or(&[][..], |(_, value)| value);
    let texts =
        ENV_LOADER.len() + loader_before.len() + library.len() + ENV_HANDLE.len() + TEXT_BYTES_MAX + 6;
    let words = outgoing.count + 3 + texts.div_ceil(WORD);
    let mut on_stack = MaybeUninit::<[usize; STACK_WORDS]>::uninit();
    let mut mapped = None;
    let room = if words <= STACK_WORDS {
        on_stack.as_mut_ptr().cast::<u8>()
    } else {
        mapped = sys::map_zeros(words * WORD);
        match mapped {
            Some(room) => room,
            // Without memory the program runs, and what it asks for is found out by other means.
            None => return run(env),
        }
    };
    // SAFETY: there is room for the pointers and the texts, as counted above.
    let result = unsafe {
        let pointers = room.cast::<*const c_char>();
        for at in 0..outgoing.count {
            *pointers.add(at) = *env.add(at);
        }
        let mut end = Writer::at(pointers.add(outgoing.count + 3).cast());
        let mut count = outgoing.count;
        let loader = end.start();
        end.add(ENV_LOADER.as_bytes());
        end.add(b"=");
        if !loader_before.is_empty() {
            end.add(loader_before);
            end.add(b":");
        }
        end.add(library);
        end.add(b"\0");
        let place = outgoing.loader.map_or(count, |(place, _)| place);
        *pointers.add(place) = loader;
        count += usize::from(place == count);
        let handle = end.start();
        let mut text = [0u8; TEXT_BYTES_MAX];
        let length = memory::handle_text(&mut text).unwrap_or(0);
        end.add(ENV_HANDLE.as_bytes());
        end.add(b"=");
        end.add(text.get(..length).unwrap_or_default());
        end.add(b"\0");
        *pointers.add(count) = handle;
        *pointers.add(count + 1) = core::ptr::null();
        run(pointers)
    };
    if let Some(room) = mapped {
        // SAFETY: mapped above, and what ran has copied it.
        unsafe { sys::unmap(room, words * WORD) };
    }
    result
}

fn own_env() -> Texts {
    block::current().cast_const().cast()
}

fn absent() -> c_int {
    sys::set_errno(ENOSYS);
    -1
}

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execve(path: *const c_char, args: Texts, env: Texts) -> c_int {
    // SAFETY: as of the C library's.
    unsafe { with_own(env, &|env| sys::execve(path, args, env)) }
}

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execv(path: *const c_char, args: Texts) -> c_int {
    // SAFETY: as of the C library's.
    unsafe { with_own(own_env(), &|env| sys::execve(path, args, env)) }
}

type ExecVpe = unsafe extern "C" fn(*const c_char, Texts, Texts) -> c_int;

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvpe(file: *const c_char, args: Texts, env: Texts) -> c_int {
    // SAFETY: as of the C library's.
    unsafe {
        let Some(own) = next::EXECVPE.get::<ExecVpe>() else { return absent() };
        with_own(env, &|env| own(file, args, env))
    }
}

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvp(file: *const c_char, args: Texts) -> c_int {
    // SAFETY: as of the C library's.
    unsafe { execvpe(file, args, own_env()) }
}

type FExecVe = unsafe extern "C" fn(c_int, Texts, Texts) -> c_int;

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fexecve(fd: c_int, args: Texts, env: Texts) -> c_int {
    // SAFETY: as of the C library's.
    unsafe {
        let Some(own) = next::FEXECVE.get::<FExecVe>() else { return absent() };
        with_own(env, &|env| own(fd, args, env))
    }
}

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execveat(
    at: c_int,
    path: *const c_char,
    args: Texts,
    env: Texts,
    flags: c_int,
) -> c_int {
    // SAFETY: as of the C library's.
    unsafe { with_own(env, &|env| sys::execveat(at, path, args, env, flags)) }
}

type Spawn =
    unsafe extern "C" fn(*mut c_int, *const c_char, *const c_void, *const c_void, Texts, Texts) -> c_int;

unsafe fn spawn(function: &next::Function, env: Texts, run: &dyn Fn(Spawn, Texts) -> c_int) -> c_int {
    // SAFETY: both are of this type, and the block is as of the C library's.
    unsafe {
        let Some(own) = function.get::<Spawn>() else { return ENOSYS };
        with_own(env, &|env| run(own, env))
    }
}

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawn(
    pid: *mut c_int,
    path: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    args: Texts,
    env: Texts,
) -> c_int {
    // SAFETY: as of the C library's.
    unsafe { spawn(&next::POSIX_SPAWN, env, &|own, env| own(pid, path, actions, attributes, args, env)) }
}

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawnp(
    pid: *mut c_int,
    file: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    args: Texts,
    env: Texts,
) -> c_int {
    // SAFETY: as of the C library's.
    unsafe { spawn(&next::POSIX_SPAWNP, env, &|own, env| own(pid, file, actions, attributes, args, env)) }
}

/// The body of a function that takes its list as single arguments: puts those that came in registers
/// before those on the stack, so that together they are the list, and calls `$inner(path, list)`.
macro_rules! listed {
    ($inner:path) => {
        naked_asm!(
            "pop rax", // where to return to
            "push r9",
            "push r8",
            "push rcx",
            "push rdx",
            "push rsi",
            "mov rsi, rsp",
            "push rax", // the stack is aligned again
            "call {inner}",
            "pop rdx",
            "add rsp, 40",
            "push rdx",
            "ret",
            inner = sym $inner,
        )
    };
}

/// # Safety
/// As of the C library's: texts, then null.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn execl() -> c_int {
    listed!(execv)
}

/// # Safety
/// As of the C library's: texts, then null.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn execlp() -> c_int {
    listed!(execvp)
}

/// # Safety
/// As of the C library's: texts, then null, then the block.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn execle() -> c_int {
    listed!(with_block_behind)
}

unsafe extern "C" fn with_block_behind(path: *const c_char, args: Texts) -> c_int {
    // SAFETY: the block comes after the null that ends the list.
    unsafe {
        let mut end = args;
        while !(*end).is_null() {
            end = end.add(1);
        }
        execve(path, args, *end.add(1).cast::<Texts>())
    }
}

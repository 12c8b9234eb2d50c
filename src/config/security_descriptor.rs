//! The security descriptor of an open file on Windows, which the standard library doesn't offer.
//!
//! Specification:
//! <https://learn.microsoft.com/en-us/windows/win32/api/securitybaseapi/nf-securitybaseapi-getkernelobjectsecurity>

use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle as _;

use windows_sys::Win32::Foundation::ERROR_INSUFFICIENT_BUFFER;
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, GetKernelObjectSecurity, OWNER_SECURITY_INFORMATION,
};

/// Most descriptors are smaller.
const USUAL: u32 = 1024;

/// More than any descriptor: an access list is at most 64 KiB long.
const LARGEST: u32 = 0x1_1000;

/// The self-relative descriptor, with the owner and the access list.
pub(super) fn security_descriptor(file: &File) -> io::Result<Vec<u8>> {
    match read(file, USUAL) {
        Err(error) if error.raw_os_error() == Some(ERROR_INSUFFICIENT_BUFFER.cast_signed()) => {
            read(file, LARGEST)
        }
        result => result,
    }
}

#[expect(
    unsafe_code,
    reason = "Windows shows access lists through unsafe functions only"
)]
fn read(file: &File, size: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size as usize];
    let mut needed = 0;
    // SAFETY: the handle is open as long as `file` is borrowed. The function writes at most `size`
    // bytes to the buffer, which has that size, and a number to `needed`.
    let succeeded = unsafe {
        GetKernelObjectSecurity(
            file.as_raw_handle(),
            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
            bytes.as_mut_ptr().cast(),
            size,
            &raw mut needed,
        )
    };
    if succeeded == 0 {
        return Err(io::Error::last_os_error());
    }
    bytes.truncate(needed as usize);
    Ok(bytes)
}

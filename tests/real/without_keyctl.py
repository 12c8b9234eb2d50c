#!/usr/bin/env python3
"""Runs a program under a seccomp filter that blocks the kernel keyring, as containers do.

    without_keyctl.py EPERM|ENOSYS PROGRAM [ARGUMENT…]
"""

import ctypes
import errno
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
# add_key, request_key, keyctl
NUMBERS = {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}


def main():
    refusal = getattr(errno, sys.argv[1])
    numbers = NUMBERS[platform.machine()]
    steps = [(LOAD_WORD, 0, 0, 0)]  # seccomp_data.nr
    for left, number in zip(range(len(numbers), 0, -1), numbers):
        steps.append((JUMP_IF_EQUAL, left, 0, number))
    steps.append((RETURN, 0, 0, SECCOMP_RET_ALLOW))
    steps.append((RETURN, 0, 0, SECCOMP_RET_ERRNO | refusal))
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0)):
        if libc.prctl(*arguments) != 0:
            sys.exit(f"prctl failed with {errno.errorcode[ctypes.get_errno()]}")
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()

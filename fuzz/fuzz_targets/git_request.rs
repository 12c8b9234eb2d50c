//! Whatever bytes come, git's request parser refuses them or takes them, and never panics; and
//! what it takes reads the same with CRLF line ends.
#![no_main]

use hallpass::protocol::git::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = Input::parse(bytes) else {
        return;
    };
    // The parser's own reading ends at the empty line; whatever follows is nobody's.
    let with_crlf: Vec<u8> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .flat_map(|line| match line {
            [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] => [text, b"\r\n"].concat(),
            last => last.to_vec(),
        })
        .collect();
    if let Ok(again) = Input::parse(&with_crlf) {
        assert_eq!(input, again);
    }
});

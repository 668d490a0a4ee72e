//! Messages for the benches of single verbs: numbered at both ends, so that one that is stale, torn, cut or out of its
//! order is noticed, at the price of two words written and two compared.
//!
//! `cargo bench -p slipring-verbs` runs the benches, and nothing else does. They measure one thread that sends and receives
//! in turns: what the instructions of a verb cost while nobody else is there. What messages cost between two processes is
//! the harness's to say (`slipring compare`).
#![forbid(unsafe_code)]

/// Writes message `seq`: its number in front, the complement at the end if there is room for both.
///
/// # Panics
/// The message is shorter than eight bytes.
#[inline(always)]
pub fn write(room: &mut [u8], seq: u64) {
    room[..8].copy_from_slice(&seq.to_ne_bytes());
    if let Some(end) = room.len().checked_sub(8).filter(|&end| end >= 8) {
        room[end..].copy_from_slice(&(!seq).to_ne_bytes());
    }
}

/// Checks that this is message `seq` of `size` bytes.
///
/// # Panics
/// It is not.
#[inline(always)]
pub fn check(message: &[u8], size: usize, seq: u64) {
    assert_eq!(message.len(), size, "message {seq} has another length");
    assert_eq!(message[..8], seq.to_ne_bytes(), "another message than {seq}");
    if size >= 16 {
        assert_eq!(message[size - 8..], (!seq).to_ne_bytes(), "message {seq} is torn");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn a_message_passes_and_another_does_not() {
        for size in [8, 12, 16, 56] {
            let mut message = vec![0; size];
            write(&mut message, 7);
            check(&message, size, 7);
            let fails =
                |message: Vec<u8>, size, seq| catch_unwind(move || check(&message, size, seq)).is_err();
            assert!(fails(message.clone(), size, 8) && fails(message[..size - 1].to_vec(), size, 7));
            if size >= 16 {
                *message.last_mut().unwrap() ^= 1;
                assert!(fails(message, size, 7));
            }
        }
    }
}

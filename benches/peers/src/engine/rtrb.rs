//! rtrb between two processes: see [`crate::arena`] for how.
//!
//! Three ways to use it: [`PushPop`] moves values, as its documentation shows first; [`InPlace`] lends a chunk of one
//! place, which saves the copies through the stack; [`Chunks`] moves many 8-byte items at once.

use std::mem::{ManuallyDrop, MaybeUninit};

use rtrb::{Consumer, Producer, PushError, RingBuffer};
use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMany, ReceiveMessage, SendMany, SendMessage};

use crate::arena::{Lent, lend};

/// What lies in a place of the queue.
pub trait Item: Copy + Send {
    /// How many places the queue has.
    const PLACES: usize;
    /// An item to fill.
    const BLANK: Self;
    /// The item with these bytes, if they are as many as an item has: copied with a length the compiler knows.
    fn of(bytes: &[u8]) -> Option<Self>;
    /// Its payload.
    fn bytes(&self) -> &[u8];
    /// Its payload, to fill.
    fn bytes_mut(&mut self) -> &mut [u8];
}

/// A payload on a cache line of its own.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Lined<const N: usize>([u8; N]);

impl<const N: usize> Item for Lined<N> {
    const PLACES: usize = 4096;
    const BLANK: Self = Lined([0; N]);

    #[inline(always)]
    fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Lined)
    }

    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Eight bytes, packed.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Packed([u8; 8]);

impl Item for Packed {
    const PLACES: usize = 65_536;
    const BLANK: Self = Packed([0; 8]);

    #[inline(always)]
    fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Packed)
    }

    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

type Ends<T> = Lent<(Producer<T>, Consumer<T>)>;

fn ends<T: Item>() -> Result<Ends<T>, HarnessError> {
    lend(|| RingBuffer::new(T::PLACES))
}

/// Never dropped: the heap is the other process's too.
fn producer<T>(ends: Ends<T>) -> ManuallyDrop<Producer<T>> {
    let (producer, consumer) = ManuallyDrop::into_inner(ends.take());
    std::mem::forget(consumer);
    ManuallyDrop::new(producer)
}

fn consumer<T>(ends: Ends<T>) -> ManuallyDrop<Consumer<T>> {
    let (producer, consumer) = ManuallyDrop::into_inner(ends.take());
    std::mem::forget(producer);
    ManuallyDrop::new(consumer)
}

/// The size must be the item's.
fn right_size<T: Item>(size: usize) -> Result<(), HarnessError> {
    let want = T::BLANK.bytes().len();
    if size == want { Ok(()) } else { Err(HarnessError::Size { want, got: size }) }
}

/// `push` and `pop` of a value.
#[derive(Debug)]
pub struct PushPop<T>(Ends<T>);

impl<T: Item> Mechanism for PushPop<T> {
    const NAME: &'static str = "rtrb push/pop";
    type Sender = Pusher<T>;
    type Receiver = Popper<T>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        right_size::<T>(size)?;
        ends().map(PushPop)
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(Pusher(producer(self.0)))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(Popper(consumer(self.0)))
    }
}

/// Pushes values.
pub struct Pusher<T>(ManuallyDrop<Producer<T>>);

impl<T: Item> Pusher<T> {
    #[inline(always)]
    fn push(&mut self, mut item: T) -> Result<(), HarnessError> {
        while let Err(PushError::Full(back)) = self.0.push(item) {
            item = back;
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl<T: Item> SendMessage for Pusher<T> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        let got = message.len();
        self.push(T::of(message).ok_or(HarnessError::Size { want: size_of::<T>(), got })?)
    }

    #[inline(always)]
    fn send_with(&mut self, _size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let mut item = T::BLANK;
        fill(item.bytes_mut());
        self.push(item)
    }
}

/// Pops values.
pub struct Popper<T>(ManuallyDrop<Consumer<T>>);

impl<T: Item> ReceiveMessage for Popper<T> {
    #[inline(always)]
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        loop {
            match self.0.pop() {
                Ok(item) => return Ok(look(item.bytes())),
                Err(_) => std::hint::spin_loop(),
            }
        }
    }
}

/// Chunks of one place, written and read where they lie.
#[derive(Debug)]
pub struct InPlace<T>(Ends<T>);

impl<T: Item> Mechanism for InPlace<T> {
    const NAME: &'static str = "rtrb in place";
    type Sender = Lender<T>;
    type Receiver = Peeker<T>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        right_size::<T>(size)?;
        ends().map(InPlace)
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(Lender(producer(self.0)))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(Peeker(consumer(self.0)))
    }
}

/// Lends one place at a time.
pub struct Lender<T>(ManuallyDrop<Producer<T>>);

impl<T: Item> SendMessage for Lender<T> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        let got = message.len();
        let item = T::of(message).ok_or(HarnessError::Size { want: size_of::<T>(), got })?;
        self.send_with(got, |room| room.copy_from_slice(item.bytes()))
    }

    #[inline(always)]
    fn send_with(&mut self, _size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        loop {
            let Ok(mut chunk) = self.0.write_chunk_uninit(1) else {
                std::hint::spin_loop();
                continue;
            };
            let place: *mut MaybeUninit<T> = chunk.as_mut_slices().0.as_mut_ptr();
            // SAFETY: the place is ours until committed. The region was zero pages and only ever held items of plain
            // bytes, so it is a value of T already, and everything `fill` may leave in it is another.
            fill(unsafe { &mut *place.cast::<T>() }.bytes_mut());
            // SAFETY: the place holds a value.
            unsafe { chunk.commit_all() };
            return Ok(());
        }
    }
}

/// Reads one place at a time.
pub struct Peeker<T>(ManuallyDrop<Consumer<T>>);

impl<T: Item> ReceiveMessage for Peeker<T> {
    #[inline(always)]
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        loop {
            if let Ok(chunk) = self.0.read_chunk(1) {
                let seen = look(chunk.as_slices().0[0].bytes());
                chunk.commit_all();
                return Ok(seen);
            }
            std::hint::spin_loop();
        }
    }
}

/// Chunks of 8-byte items. One message is one chunk of `size / 8` items; in batches one message is one item.
#[derive(Debug)]
pub struct Chunks(Ends<[u8; 8]>);

impl Mechanism for Chunks {
    const NAME: &'static str = "rtrb chunks";
    type Sender = ChunkWriter;
    type Receiver = ChunkReader;

    /// The number of places is a multiple of all sizes measured, so that no chunk wraps.
    fn prepare(size: usize) -> Result<Self, HarnessError> {
        if size.is_multiple_of(8) && (Packed::PLACES * 8).is_multiple_of(size) {
            return lend(|| RingBuffer::new(Packed::PLACES)).map(Chunks);
        }
        Err(HarnessError::BadOption { what: format!("chunks of {size} bytes, which would wrap") })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(ChunkWriter(producer(self.0)))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(ChunkReader(consumer(self.0)))
    }
}

/// Writes chunks.
pub struct ChunkWriter(ManuallyDrop<Producer<[u8; 8]>>);

impl ChunkWriter {
    #[inline(always)]
    fn write(&mut self, items: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        loop {
            let Ok(mut chunk) = self.0.write_chunk_uninit(items) else {
                std::hint::spin_loop();
                continue;
            };
            let room: &mut [MaybeUninit<[u8; 8]>] = chunk.as_mut_slices().0;
            if room.len() != items {
                return Err(HarnessError::Size { want: items * 8, got: room.len() * 8 });
            }
            let start: *mut u8 = room.as_mut_ptr().cast();
            // SAFETY: the places are ours until committed, contiguous (just checked), and bytes that were zero pages or
            // written before.
            fill(unsafe { std::slice::from_raw_parts_mut(start, items * 8) });
            // SAFETY: all places hold values.
            unsafe { chunk.commit_all() };
            return Ok(());
        }
    }
}

impl SendMessage for ChunkWriter {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    #[inline(always)]
    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        self.write(size / 8, fill)
    }
}

impl SendMany for ChunkWriter {
    #[inline(always)]
    fn send_many(
        &mut self,
        _size: usize,
        count: usize,
        mut fill: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), HarnessError> {
        self.write(count, |room| {
            for (k, item) in room.chunks_exact_mut(8).enumerate() {
                fill(k, item);
            }
        })
    }
}

/// Reads chunks.
pub struct ChunkReader(ManuallyDrop<Consumer<[u8; 8]>>);

impl ReceiveMessage for ChunkReader {
    #[inline(always)]
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        loop {
            if let Ok(chunk) = self.0.read_chunk(size / 8) {
                let seen = look(chunk.as_slices().0.as_flattened());
                chunk.commit_all();
                return Ok(seen);
            }
            std::hint::spin_loop();
        }
    }
}

impl ReceiveMany for ChunkReader {
    /// Everything is sent in chunks of `most`, so it is there whole or not at all.
    #[inline(always)]
    fn receive_many(
        &mut self,
        _size: usize,
        most: usize,
        mut look: impl FnMut(&[u8]),
    ) -> Result<(), HarnessError> {
        self.receive(8 * most, |chunk| chunk.chunks_exact(8).for_each(&mut look))
    }
}

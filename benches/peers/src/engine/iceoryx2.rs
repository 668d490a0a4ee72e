//! iceoryx2: publish-subscribe of a fixed-size type. Each process has a node and a port of its own, made after the fork.
//!
//! Lossless, as all engines here: no overflow, and a publisher with a full subscriber retries. The subscriber polls. Its
//! files begin with `peers_`; a process that ends well takes its own away, the next node what a killed one left.

use std::mem::MaybeUninit;
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;
use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage, SendMessage};

type Payload<const WORDS: usize, const TIMES: usize> = [[u64; WORDS]; TIMES];
type Factory<const WORDS: usize, const TIMES: usize> = PortFactory<ipc::Service, Payload<WORDS, TIMES>, ()>;

/// Messages of exactly `8 * WORDS * TIMES` bytes. Only the name is made before the fork.
#[derive(Debug)]
pub struct PubSub<const WORDS: usize, const TIMES: usize> {
    name: String,
    samples: usize,
}

impl<const WORDS: usize, const TIMES: usize> PubSub<WORDS, TIMES> {
    fn open(&self) -> Result<(Node<ipc::Service>, Factory<WORDS, TIMES>), HarnessError> {
        set_log_level(LogLevel::Fatal);
        let mut config = Config::default();
        config.global.prefix = FileName::new(b"peers_").map_err(refused)?;
        let node = NodeBuilder::new().config(&config).create::<ipc::Service>().map_err(refused)?;
        let service = node
            .service_builder(&self.name.as_str().try_into().map_err(refused)?)
            .publish_subscribe::<Payload<WORDS, TIMES>>()
            .enable_safe_overflow(false)
            .history_size(0)
            .max_publishers(1)
            .max_subscribers(1)
            .subscriber_max_borrowed_samples(1)
            .subscriber_max_buffer_size(self.samples)
            .open_or_create()
            .map_err(refused)?;
        Ok((node, service))
    }
}

impl<const WORDS: usize, const TIMES: usize> Mechanism for PubSub<WORDS, TIMES> {
    const NAME: &'static str = "iceoryx2";
    type Sender = Sending<WORDS, TIMES>;
    type Receiver = Receiving<WORDS, TIMES>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        if size != 8 * WORDS * TIMES {
            return Err(HarnessError::Size { want: 8 * WORDS * TIMES, got: size });
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("slipring-peers/{}/{since:x}", process::id());
        Ok(PubSub { name, samples: ((1 << 20) / size).clamp(8, 256) })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        let (node, service) = self.open()?;
        let publisher = service
            .publisher_builder()
            .max_loaned_samples(1)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()
            .map_err(refused)?;
        // One more than the buffer holds: the last of them was delivered to somebody.
        Ok(Sending { publisher, unsure: self.samples + 1, _service: service, _node: node })
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        let (node, service) = self.open()?;
        let subscriber = service.subscriber_builder().buffer_size(self.samples).create().map_err(refused)?;
        Ok(Receiving { subscriber, _service: service, _node: node })
    }
}

#[cold]
fn refused(error: impl std::fmt::Debug) -> HarnessError {
    HarnessError::Ring { what: format!("iceoryx2: {error:?}") }
}

/// The publisher. Dropped before its service and its node.
pub struct Sending<const WORDS: usize, const TIMES: usize> {
    publisher: Publisher<ipc::Service, Payload<WORDS, TIMES>, ()>,
    /// How many more sends may find a full buffer that no subscriber is connected to: it connects when it first looks.
    unsure: usize,
    _service: Factory<WORDS, TIMES>,
    _node: Node<ipc::Service>,
}

impl<const WORDS: usize, const TIMES: usize> Sending<WORDS, TIMES> {
    /// Whether it was delivered.
    #[inline(always)]
    fn try_send(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<bool, HarnessError> {
        let mut sample = self.publisher.loan_uninit().map_err(refused)?;
        let payload: *mut MaybeUninit<Payload<WORDS, TIMES>> = sample.payload_mut();
        // SAFETY: the sample is this publisher's alone until sent, `size` bytes long (checked by `prepare`), and bytes
        // that were zero pages or written before.
        fill(unsafe { std::slice::from_raw_parts_mut(payload.cast::<u8>(), size) });
        // SAFETY: any bytes are a value of the payload's type.
        let sample = unsafe { sample.assume_init() };
        Ok(sample.send().map_err(refused)? == 1)
    }

    /// Keeps a copy, because an undelivered sample is lost.
    #[cold]
    fn send_unsure(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let mut message = vec![0; size];
        fill(&mut message);
        while !self.try_send(size, |room| room.copy_from_slice(&message))? {
            std::thread::yield_now();
        }
        self.unsure -= 1;
        Ok(())
    }
}

impl<const WORDS: usize, const TIMES: usize> SendMessage for Sending<WORDS, TIMES> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    #[inline(always)]
    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        if self.unsure > 0 {
            return self.send_unsure(size, fill);
        }
        if self.try_send(size, fill)? { Ok(()) } else { Err(HarnessError::Closed) }
    }
}

/// The subscriber.
pub struct Receiving<const WORDS: usize, const TIMES: usize> {
    subscriber: Subscriber<ipc::Service, Payload<WORDS, TIMES>, ()>,
    _service: Factory<WORDS, TIMES>,
    _node: Node<ipc::Service>,
}

impl<const WORDS: usize, const TIMES: usize> ReceiveMessage for Receiving<WORDS, TIMES> {
    #[inline(always)]
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        loop {
            if let Some(sample) = self.subscriber.receive().map_err(refused)? {
                let payload: *const Payload<WORDS, TIMES> = sample.payload();
                // SAFETY: a received sample is not written while it is borrowed; it has `size` bytes, see `prepare`.
                return Ok(look(unsafe { std::slice::from_raw_parts(payload.cast::<u8>(), size) }));
            }
            std::hint::spin_loop();
        }
    }
}

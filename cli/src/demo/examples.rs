//! The examples of the library, whose code the demos run.

#[path = "../../../examples/echo.rs"]
pub(super) mod echo;
#[path = "../../../examples/mq_echo.rs"]
pub(super) mod mq_echo;
#[path = "../../../examples/mq_pair.rs"]
pub(super) mod mq_pair;
#[path = "../../../examples/producer_consumer.rs"]
pub(super) mod producer_consumer;
#[path = "../../../examples/shared_memory.rs"]
pub(super) mod shared_memory;
#[path = "../../../examples/workers.rs"]
pub(super) mod workers;

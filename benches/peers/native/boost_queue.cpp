// Boost.Interprocess's message_queue for engine/boost_queue.rs: no exception leaves here, and a queue's name goes at once.

#include <boost/interprocess/ipc/message_queue.hpp>
#include <cstddef>
#include <new>

namespace ipc = boost::interprocess;

extern "C" {

// Null if it cannot be made.
void *slipring_peers_boost_new(const char *name, std::size_t places, std::size_t size) {
    try {
        auto *queue = new ipc::message_queue(ipc::create_only, name, places, size);
        ipc::message_queue::remove(name);
        return queue;
    } catch (...) {
        return nullptr;
    }
}

// 0 if sent.
int slipring_peers_boost_send(void *queue, const void *message, std::size_t size) {
    try {
        static_cast<ipc::message_queue *>(queue)->send(message, size, 0);
        return 0;
    } catch (...) {
        return -1;
    }
}

// The message's bytes, or -1.
long slipring_peers_boost_receive(void *queue, void *room, std::size_t size) {
    try {
        ipc::message_queue::size_type got = 0;
        unsigned priority = 0;
        static_cast<ipc::message_queue *>(queue)->receive(room, size, got, priority);
        return static_cast<long>(got);
    } catch (...) {
        return -1;
    }
}

// The same, or 0 if there is no message.
long slipring_peers_boost_try_receive(void *queue, void *room, std::size_t size) {
    try {
        ipc::message_queue::size_type got = 0;
        unsigned priority = 0;
        bool there = static_cast<ipc::message_queue *>(queue)->try_receive(room, size, got, priority);
        return there ? static_cast<long>(got) : 0;
    } catch (...) {
        return -1;
    }
}

// Unmaps it; whoever else has it keeps it.
void slipring_peers_boost_free(void *queue) {
    delete static_cast<ipc::message_queue *>(queue);
}
}

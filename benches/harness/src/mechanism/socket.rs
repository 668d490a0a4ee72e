//! Sockets besides the Unix stream: Unix datagram and sequenced packet, TCP and UDP over the loopback device. All
//! blocking, with the kernel's default buffers; TCP without Nagle's delay.
#![forbid(unsafe_code)]

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::packet::{PacketReceiver, PacketSender, Put, Take};
use super::stream::{ByteReceiver, ByteSender};
use super::{Copies, Mechanism};
use crate::error::HarnessError;

/// What a UDP datagram holds over IPv4: 65,535 less the headers.
const UDP_MOST: usize = 65_507;
/// What the kernel keeps of a Unix socket's send buffer (unix_dgram_sendmsg).
const UNIX_RESERVE: usize = 32;

/// Refuses sizes that one packet cannot hold, so that the table can say why.
fn unix_limit(socket: impl AsFd, size: usize) -> Result<(), HarnessError> {
    let buffer = rustix::net::sockopt::socket_send_buffer_size(socket)
        .map_err(|errno| HarnessError::os("asking for the size of a socket's buffer", errno))?;
    let most = buffer.saturating_sub(UNIX_RESERVE);
    if size <= most {
        return Ok(());
    }
    Err(HarnessError::Limit {
        what: format!("one packet holds {most} bytes: the send buffer, net.core.wmem_default"),
    })
}

/// A pair of Unix datagram sockets, used in one direction.
#[derive(Debug)]
pub struct UnixDatagram {
    near: net::UnixDatagram,
    far: net::UnixDatagram,
    size: usize,
}

impl Mechanism for UnixDatagram {
    const NAME: &'static str = "unix datagram";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = PacketSender<net::UnixDatagram>;
    type Receiver = PacketReceiver<net::UnixDatagram>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let (near, far) = net::UnixDatagram::pair()
            .map_err(|error| HarnessError::os("making a pair of datagram sockets", error))?;
        unix_limit(&near, size)?;
        Ok(UnixDatagram { near, far, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(PacketSender::new(self.near, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(PacketReceiver::new(self.far, self.size))
    }
}

impl Put for net::UnixDatagram {
    fn put(&mut self, message: &[u8]) -> io::Result<usize> {
        self.send(message)
    }
}

impl Take for net::UnixDatagram {
    fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.recv(room)
    }
}

/// A pair of Unix sequenced-packet sockets, used in one direction.
#[derive(Debug)]
pub struct UnixSeqpacket {
    near: OwnedFd,
    far: OwnedFd,
    size: usize,
}

impl Mechanism for UnixSeqpacket {
    const NAME: &'static str = "unix seqpacket";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = PacketSender<Seqpacket>;
    type Receiver = PacketReceiver<Seqpacket>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let kind = SocketType::SEQPACKET;
        let (near, far) = rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
            .map_err(|errno| HarnessError::os("making a pair of seqpacket sockets", errno))?;
        unix_limit(&near, size)?;
        Ok(UnixSeqpacket { near, far, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(PacketSender::new(Seqpacket(self.near), self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(PacketReceiver::new(Seqpacket(self.far), self.size))
    }
}

/// One end.
#[derive(Debug)]
pub struct Seqpacket(OwnedFd);

impl Put for Seqpacket {
    fn put(&mut self, message: &[u8]) -> io::Result<usize> {
        // A reader that has gone shall be an error and not a signal.
        Ok(rustix::net::send(&self.0, message, SendFlags::NOSIGNAL)?)
    }
}

impl Take for Seqpacket {
    fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(&self.0, room, RecvFlags::empty())?.0)
    }
}

/// A TCP connection over the loopback device, used in one direction.
#[derive(Debug)]
pub struct Tcp {
    near: TcpStream,
    far: TcpStream,
    size: usize,
}

impl Mechanism for Tcp {
    const NAME: &'static str = "tcp loopback";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = ByteSender<TcpStream>;
    type Receiver = ByteReceiver<TcpStream>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let connect = || -> io::Result<(TcpStream, TcpStream)> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            // The backlog takes the connection: nobody needs to accept meanwhile.
            let near = TcpStream::connect(listener.local_addr()?)?;
            let (far, from) = listener.accept()?;
            if from != near.local_addr()? {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
            }
            near.set_nodelay(true)?;
            far.set_nodelay(true)?;
            Ok((near, far))
        };
        let (near, far) =
            connect().map_err(|error| HarnessError::os("connecting over TCP to 127.0.0.1", error))?;
        Ok(Tcp { near, far, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(ByteSender::new(self.near, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(ByteReceiver::new(self.far, self.size))
    }
}

/// Two UDP sockets connected to each other over the loopback device, used in one direction. The kernel drops what the
/// receiver's buffer has no room for, so it is of use only where few messages are on their way.
#[derive(Debug)]
pub struct Udp {
    near: UdpSocket,
    far: UdpSocket,
    size: usize,
}

impl Mechanism for Udp {
    const NAME: &'static str = "udp loopback";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = PacketSender<UdpSocket>;
    type Receiver = PacketReceiver<UdpSocket>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        if size > UDP_MOST {
            return Err(HarnessError::Limit { what: format!("a datagram holds {UDP_MOST} bytes") });
        }
        let connect = || -> io::Result<(UdpSocket, UdpSocket)> {
            let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            near.connect(far.local_addr()?)?;
            far.connect(near.local_addr()?)?;
            Ok((near, far))
        };
        let (near, far) =
            connect().map_err(|error| HarnessError::os("connecting over UDP to 127.0.0.1", error))?;
        Ok(Udp { near, far, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(PacketSender::new(self.near, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(PacketReceiver::new(self.far, self.size))
    }
}

impl Put for UdpSocket {
    fn put(&mut self, message: &[u8]) -> io::Result<usize> {
        self.send(message)
    }
}

impl Take for UdpSocket {
    fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.recv(room)
    }
}

//! The virtio device.

use crate::control::Control;
use crate::nsm::{MAX_REQUEST, Nsm};
use crate::ring;
use aws_nitro_enclaves_nsm_api::api::Response;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Duration;
use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost::vhost_user::{Error as Gone, Listener};
use vhost_user_backend::{Error, VhostUserBackendMut, VhostUserDaemon, VringRwLock, VringT};
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier,
};
use vmm_sys_util::timerfd::TimerFd;

const VIRTIO_F_VERSION_1: u64 = 1 << 32;
const VHOST_USER_F_PROTOCOL_FEATURES: u64 = 1 << 30;
/// The driver kicks before the device is told to listen, and that kick may be lost: the ring is also
/// looked at this often.
const TICK: Duration = Duration::from_millis(20);
/// After the one queue (0) and the event that ends the thread (1).
const TICK_EVENT: u16 = 2;

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

/// The device of one virtual machine.
pub(crate) struct Device {
    nsm: Nsm,
    control: Control,
    memory: Option<Memory>,
    tick: TimerFd,
}

impl Device {
    pub(crate) fn new(nsm: Nsm, control: Control) -> io::Result<Self> {
        let mut tick = TimerFd::new()?;
        tick.reset(TICK, Some(TICK))?;
        Ok(Self { nsm, control, memory: None, tick })
    }

    /// Serves one virtual machine, until it ends. Says on standard output when it can be started.
    pub(crate) fn serve(self, socket: &Path) -> Result<(), Error> {
        let tick = self.tick.as_raw_fd();
        let device = Arc::new(RwLock::new(self));
        let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
        let mut daemon = VhostUserDaemon::new("nsm".into(), device, memory)?;
        let handlers = daemon.get_epoll_handlers();
        for handler in &handlers {
            let registered = handler.register_listener(tick, EventSet::IN, TICK_EVENT.into());
            registered.map_err(Error::StartDaemon)?;
        }
        let mut listener = Listener::new(socket, true).map_err(Error::CreateVhostUserListener)?;
        println!(r#"{{"event": "listening"}}"#);
        daemon.start(&mut listener)?;
        let ended = daemon.wait();
        handlers.iter().for_each(|handler| handler.send_exit_event());
        match ended {
            // However the other side goes: that is how virtual machines end.
            Err(Error::HandleRequest(Gone::Disconnected | Gone::PartialMessage)) => Ok(()),
            ended => ended,
        }
    }

    fn answer(nsm: &mut Nsm, control: &Control, request: &[u8]) -> Vec<u8> {
        let failure = control.read();
        thread::sleep(failure.latency());
        let response = match failure.error {
            Some(error) => Response::Error(error),
            None => nsm.answer(request),
        };
        let mut encoded = Vec::new();
        // Into memory: it cannot fail.
        let _ = ciborium::into_writer(&response, &mut encoded);
        encoded
    }
}

impl VhostUserBackendMut for Device {
    type Bitmap = ();
    type Vring = VringRwLock;

    fn num_queues(&self) -> usize {
        1
    }

    fn max_queue_size(&self) -> usize {
        64
    }

    fn features(&self) -> u64 {
        VIRTIO_F_VERSION_1 | VHOST_USER_F_PROTOCOL_FEATURES
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ
    }

    fn set_event_idx(&mut self, _: bool) {}

    fn update_memory(&mut self, memory: Memory) -> io::Result<()> {
        self.memory = Some(memory);
        Ok(())
    }

    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK).ok()
    }

    fn handle_event(
        &mut self,
        event: u16,
        _: EventSet,
        vrings: &[VringRwLock],
        _: usize,
    ) -> io::Result<()> {
        if event == TICK_EVENT {
            self.tick.wait()?;
        }
        let (Some(memory), Some(vring)) = (&self.memory, vrings.first()) else { return Ok(()) };
        let (nsm, control) = (&mut self.nsm, &self.control);
        let served = {
            let mut state = vring.get_mut();
            ring::serve(&memory.memory(), state.get_queue_mut(), MAX_REQUEST, |request| {
                Self::answer(nsm, control, request)
            })
        };
        match served {
            Ok(true) => vring.signal_used_queue()?,
            Ok(false) => {}
            // The guest's mistake, and its loss.
            Err(error) => eprintln!("the ring is unusable: {error}"),
        }
        Ok(())
    }
}

//! The ring that the guest shares with the device. Everything in it is untrusted.
//!
//! The driver puts two chains of descriptors into it for a request: one to read, then one to write the
//! response to.

use std::io::{Read, Write};
use std::ops::Deref;
use virtio_queue::{DescriptorChain, Error, Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;

/// Answers what is in the ring: true if the guest is to be told. `answer` gets at most `limit` + 1
/// bytes of a request.
pub(crate) fn serve<M>(
    memory: &M,
    queue: &mut Queue,
    limit: usize,
    mut answer: impl FnMut(&[u8]) -> Vec<u8>,
) -> Result<bool, Error>
where
    M: Clone + Deref<Target = GuestMemoryMmap>,
{
    if !queue.ready() || !queue.is_valid(memory.deref()) {
        return Ok(false);
    }
    let mut served = false;
    while let Some((request, response)) = pair(memory, queue)? {
        let (read, written) = (request.head_index(), response.head_index());
        let length = match read_all(memory, request, limit) {
            Some(request) => write_all(memory, response, &answer(&request)),
            None => 0,
        };
        queue.add_used(memory.deref(), read, 0)?;
        queue.add_used(memory.deref(), written, length)?;
        served = true;
    }
    Ok(served)
}

/// Where a request is, and where its response goes.
type Pair<M> = (DescriptorChain<M>, DescriptorChain<M>);

/// The next two chains. One alone stays in the ring until the other follows.
fn pair<M>(memory: &M, queue: &mut Queue) -> Result<Option<Pair<M>>, Error>
where
    M: Clone + Deref<Target = GuestMemoryMmap>,
{
    let mut available = queue.iter(memory.clone())?;
    let Some(request) = available.next() else { return Ok(None) };
    match available.next() {
        Some(response) => Ok(Some((request, response))),
        None => {
            available.go_to_previous_position();
            Ok(None)
        }
    }
}

fn read_all<M>(memory: &M, chain: DescriptorChain<M>, limit: usize) -> Option<Vec<u8>>
where
    M: Clone + Deref<Target = GuestMemoryMmap>,
{
    let mut request = Vec::new();
    let reader = chain.reader(memory.deref()).ok()?;
    reader.take(limit as u64 + 1).read_to_end(&mut request).ok()?;
    Some(request)
}

/// How many bytes were written: none if they do not fit.
fn write_all<M>(memory: &M, chain: DescriptorChain<M>, response: &[u8]) -> u32
where
    M: Clone + Deref<Target = GuestMemoryMmap>,
{
    let Ok(mut writer) = chain.writer(memory.deref()) else { return 0 };
    if writer.available_bytes() < response.len() || writer.write_all(response).is_err() {
        return 0;
    }
    response.len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use vm_memory::{Bytes, GuestAddress};

    const SIZE: u16 = 16;
    const MEMORY: usize = 0x2000;

    /// Descriptors, then the ring of what is available; what was used goes to 0x1000.
    fn queue() -> Queue {
        let mut queue = Queue::new(SIZE).unwrap();
        queue.set_desc_table_address(Some(0), Some(0));
        queue.set_avail_ring_address(Some(0x800), Some(0));
        queue.set_used_ring_address(Some(0x1000), Some(0));
        queue.set_ready(true);
        queue
    }

    #[test]
    fn whatever_is_in_the_ring_it_goes_on() {
        let mut rng = StdRng::seed_from_u64(3);
        let (mut answers, mut errors) = (0, 0);
        for _ in 0..5000 {
            let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap();
            let mut content = vec![0; MEMORY];
            rng.fill_bytes(&mut content);
            // Small numbers, so that descriptors lead to memory and to each other now and then.
            for descriptor in content[..usize::from(SIZE) * 16].chunks_mut(16) {
                descriptor[2..8].fill(0);
                descriptor[1] &= 0x3f;
                descriptor[10..12].fill(0);
                descriptor[13] = 0;
                descriptor[14] &= 0x1f;
                descriptor[15] = 0;
            }
            content[0x802] %= 20;
            content[0x803] = 0;
            for head in content[0x804..0x804 + usize::from(SIZE) * 2].chunks_mut(2) {
                head[0] &= 0x1f;
                head[1] = 0;
            }
            memory.write_slice(&content, GuestAddress(0)).unwrap();
            let served = serve(&&memory, &mut queue(), 64, |request| {
                assert!(request.len() <= 65);
                answers += 1;
                vec![1; 100]
            });
            errors += usize::from(served.is_err());
        }
        println!("{answers} answers, {errors} errors");
        assert!(answers > 100 && errors > 100);
    }
}

// Goes through some cells of a channel, which are `each` rows. The op brings the bindings from x to y, `struct Channel`,
// `fn channel(c: u32) -> Channel`, what its cells have in common, and `fn value(i: u32, channel: Channel) -> T`, the result of one.
// A channel is an element, or four where T is a vector.
struct Params { first: u32, width: u32, count: u32, channels: u32, rows: u32, each: u32, epsilon: f32, share: f32 }

override WG: u32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i >= p.count) {
        return;
    }
    let part = i / p.channels;
    let c = i - part * p.channels;
    let of_channel = channel(c);
    let end = min((part + 1u) * p.each, p.rows);
    for (var row = part * p.each; row < end; row++) {
        let at = row * p.channels + c;
        y[at] = value(at, of_channel);
    }
}

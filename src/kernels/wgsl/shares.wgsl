// The sum of what the invocations of a workgroup have that share one of COLUMNS columns, at the first of them. All have to call it.
var<workgroup> parts: array<T, WG>;

fn total(lid: u32, share: T) -> T {
    parts[lid] = share;
    for (var half = WG / COLUMNS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lid < half * COLUMNS) {
            parts[lid] += parts[lid + half * COLUMNS];
        }
    }
    return parts[lid];
}

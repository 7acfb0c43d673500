const known = new WeakMap<object, object>();

/** What an object in wasm memory says of itself. It is asked once: training changes values, which are no part of it. */
export function infoOf<I extends object>(object: { info(): I }): I {
  let info = known.get(object);
  if (!info) known.set(object, info = object.info());
  return info as I;
}

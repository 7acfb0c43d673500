import { RegraftError, fromWire, toRegraftError, toWire, type WireError } from './errors.js';

/** One method of a service: what it takes, what it gives, what it reports meanwhile. */
export interface Call<Args, Result, Progress = never> { args: Args; result: Result; progress: Progress }

/** The methods one end of a channel offers to the other. */
export type Service<S> = { [K in keyof S]: Call<unknown, unknown, unknown> };

/** What a handler may use beside its arguments. */
export interface CallContext<Progress> {
  /** Fires when the caller gave up, or the channel closed. Its reason is a RegraftError. */
  readonly signal: AbortSignal;
  progress(value: Progress): void;
  /** Moves the buffers to the caller with the result instead of copying them. */
  transfer(...buffers: Transferable[]): void;
}

/** An implementation of every method of a service. */
export type Handlers<S extends Service<S>> = {
  [K in keyof S]: (args: S[K]['args'], context: CallContext<S[K]['progress']>) => S[K]['result'] | Promise<S[K]['result']>;
};

export interface CallOptions<Progress> {
  signal?: AbortSignal | undefined;
  onProgress?: ((value: Progress) => void) | undefined;
  transfer?: Transferable[] | undefined;
  /** The call answers an abort with a result of its own, so wait for it. */
  resolvesOnAbort?: boolean;
}

type Message =
  | { kind: 'call'; id: number; method: PropertyKey; args: unknown }
  | { kind: 'abort'; id: number }
  | { kind: 'progress'; id: number; value: unknown }
  | { kind: 'result'; id: number; value: unknown }
  | { kind: 'error'; id: number; error: WireError };

interface Pending {
  resolve(value: unknown): void;
  reject(error: RegraftError): void;
  onProgress: ((value: never) => void) | undefined;
}

/**
 * Calls in both directions over one message port: the other end's methods as promises, this end's methods for the other.
 * Works the same between a page and its workers, between workers, and in Node.
 */
export class Channel<Remote extends Service<Remote>, Local extends Service<Local>> {
  private readonly pending = new Map<number, Pending>();
  private readonly running = new Map<number, AbortController>();
  private nextId = 0;
  private closed: RegraftError | undefined;

  constructor(private readonly port: MessagePort, private readonly handlers: Handlers<Local>) {
    port.onmessage = ({ data }: MessageEvent<Message>) => this.receive(data);
  }

  /** Calls a method of the other end. */
  call<K extends keyof Remote>(
    method: K, args: Remote[K]['args'], options: CallOptions<Remote[K]['progress']> = {},
  ): Promise<Remote[K]['result']> {
    const { signal, onProgress, transfer = [], resolvesOnAbort = false } = options;
    if (this.closed) return Promise.reject(this.closed);
    if (signal?.aborted && !resolvesOnAbort) return Promise.reject(aborted());
    const id = this.nextId++;
    const result = new Promise<unknown>((resolve, reject) => this.pending.set(id, { resolve, reject, onProgress }));
    try {
      this.send({ kind: 'call', id, method, args }, transfer);
    } catch (error) {
      this.pending.delete(id);
      return Promise.reject(new RegraftError('bad-option', `an argument cannot be sent to a worker: ${String(error)}`));
    }
    const onAbort = (): void => {
      this.send({ kind: 'abort', id });
      if (!resolvesOnAbort) this.settle(id)?.reject(aborted());
    };
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    return result.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  /** Rejects all calls under way and to come, and aborts what runs on this end. */
  close(reason: RegraftError): void {
    this.closed ??= reason;
    for (const id of [...this.pending.keys()]) this.settle(id)?.reject(reason);
    for (const controller of this.running.values()) controller.abort(reason);
    this.port.close();
  }

  private receive(message: Message): void {
    switch (message.kind) {
      case 'call': void this.serve(message.id, message.method as keyof Local, message.args); break;
      case 'abort': this.running.get(message.id)?.abort(aborted()); break;
      case 'progress': this.pending.get(message.id)?.onProgress?.(message.value as never); break;
      case 'result': this.settle(message.id)?.resolve(message.value); break;
      case 'error': this.settle(message.id)?.reject(fromWire(message.error)); break;
      default: message satisfies never;
    }
  }

  private async serve(id: number, method: keyof Local, args: unknown): Promise<void> {
    const controller = new AbortController();
    this.running.set(id, controller);
    const buffers: Transferable[] = [];
    const context: CallContext<unknown> = {
      signal: controller.signal,
      progress: (value) => this.send({ kind: 'progress', id, value }),
      transfer: (...more) => buffers.push(...more),
    };
    try {
      const value = await this.handlers[method](args, context);
      this.send({ kind: 'result', id, value }, buffers);
    } catch (error) {
      this.send({ kind: 'error', id, error: toWire(toRegraftError(error)) });
    } finally {
      this.running.delete(id);
    }
  }

  private settle(id: number): Pending | undefined {
    const call = this.pending.get(id);
    this.pending.delete(id);
    return call;
  }

  private send(message: Message, transfer: Transferable[] = []): void {
    this.port.postMessage(message, transfer);
  }
}

/** The error of a call whose signal fired. */
export function aborted(): RegraftError {
  return new RegraftError('aborted', 'the call was aborted');
}

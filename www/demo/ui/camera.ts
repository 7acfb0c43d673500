/** The camera, opened when asked and released when done. */

/** Longest side of a captured frame: above every network's input here, far below what cameras give. */
const FRAME_SIDE = 640;

export class Camera {
  readonly video: HTMLVideoElement;
  #stream: MediaStream | undefined;

  constructor() {
    this.video = document.createElement('video');
    this.video.muted = true;
    this.video.playsInline = true;
    this.video.setAttribute('aria-label', 'Camera picture');
  }

  get open(): boolean {
    return this.#stream !== undefined;
  }

  async start(): Promise<void> {
    if (!('mediaDevices' in navigator)) throw new DOMException('no camera access on this page', 'NotFoundError');
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: FRAME_SIDE }, facingMode: 'environment' } });
    this.stop();
    this.#stream = stream;
    this.video.srcObject = stream;
    await this.video.play();
  }

  stop(): void {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
    this.video.srcObject = null;
  }

  /** The picture of this moment as a JPEG file; encoding happens off the main thread. */
  async capture(name: string): Promise<File> {
    const { videoWidth, videoHeight } = this.video;
    const scale = Math.min(1, FRAME_SIDE / Math.max(videoWidth, videoHeight, 1));
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(videoWidth * scale)), Math.max(1, Math.round(videoHeight * scale)));
    canvas.getContext('2d')?.drawImage(this.video, 0, 0, canvas.width, canvas.height);
    const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.92 });
    return new File([blob], name, { type: 'image/jpeg' });
  }
}

export function cameraProblem(error: unknown): string {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError') return 'The browser was told not to use the camera. Allow it beside the address bar and try again.';
  if (name === 'NotFoundError') return 'No camera was found.';
  if (name === 'NotReadableError') return 'The camera is in use by another program.';
  return 'The camera could not be opened.';
}

import type { Dataset, Model } from 'regraft';

/** Runs the frozen part once on every photo and keeps what comes out, as the bytes of two files. */
export async function featurizedPreSave(vgg16: Model, train: Dataset, test: Dataset): Promise<{ train: Uint8Array; test: Uint8Array }> {
  const helper = vgg16.transferLearningHelper(['dropout2']);
  const save = async (data: Dataset): Promise<Uint8Array> => {
    const features = await helper.featurize(data);
    const bytes = await features.save();
    await features.dispose();
    return bytes;
  };
  return { train: await save(train), test: await save(test) };
}

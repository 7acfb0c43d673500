// Checked by the compiler: what the package implements fits the contract, under the same names.
import { test } from 'node:test';
import type * as contract from '../contract.js';
import type * as ours from '../../src/api.js';
import type { ErrorCode, RegraftError } from '../../src/errors.js';

type Expect<T extends true> = T;
/** No name the contract does not have, and every member assignable to the contract's. */
type Fits<O, C> = [Exclude<keyof O, keyof C>] extends [never] ? (O extends Pick<C, keyof O & keyof C> ? true : false) : false;

/** Methods of the same names that take what the contract's take: for those that return `this`. */
type TakeTheSame<O, C> = [Exclude<keyof O, keyof C>] extends [never]
  ? { [K in keyof O & keyof C]: Taken<O[K]> extends Taken<C[K]> ? never : K }[keyof O & keyof C] extends never ? true : false
  : false;
type Taken<F> = F extends (...taken: infer A) => unknown ? A : never;

/** Types that take each other's values. */
type Same<O, C> = [O] extends [C] ? ([C] extends [O] ? true : false) : false;

/** Members that give objects of which a part is implemented; those parts are compared on their own. */
type Partial = 'transferLearning' | 'classifier' | 'transferLearningHelper';

export type Checks = [
  Expect<Fits<ours.EngineOptions, contract.EngineOptions>>,
  Expect<Fits<ours.DeviceInfo, contract.DeviceInfo>>,
  Expect<Fits<Omit<ours.Engine, 'load'>, contract.Engine>>,
  Expect<Fits<ours.LoadOptions, contract.LoadOptions>>,
  Expect<ours.ModelSource extends contract.ModelSource ? true : false>,
  Expect<Fits<ours.Preprocessing, contract.Preprocessing>>,
  Expect<Fits<ours.Tensor, contract.Tensor>>,
  Expect<Fits<ours.TensorInfo, contract.TensorInfo>>,
  Expect<Fits<ours.VertexSummary, contract.VertexSummary>>,
  Expect<Fits<Omit<ours.Model, Partial>, contract.Model>>,
  Expect<Same<ours.Activation, contract.Activation>>,
  Expect<Same<ours.Loss, contract.Loss>>,
  Expect<Same<ours.WeightInit, contract.WeightInit>>,
  Expect<Same<ours.Schedule, contract.Schedule>>,
  Expect<Same<ours.Updater, contract.Updater>>,
  Expect<Same<ours.GradientNormalization, contract.GradientNormalization>>,
  Expect<Same<ours.Constraint, contract.Constraint>>,
  Expect<Same<ours.LearningConfig, contract.LearningConfig>>,
  Expect<Same<ours.FineTuneConfiguration, contract.FineTuneConfiguration>>,
  Expect<Same<ours.Layer, contract.Layer>>,
  Expect<Same<ours.Vertex, contract.Vertex>>,
  Expect<Same<keyof ours.TransferLearning, keyof contract.TransferLearning>>,
  Expect<TakeTheSame<ours.TransferLearning, contract.TransferLearning>>,
  Expect<Same<keyof ours.Model, keyof contract.Model>>,
  Expect<Fits<Omit<ours.TransferLearningHelper, 'unfrozenGraph'>, contract.TransferLearningHelper>>,
  Expect<Same<keyof ours.TransferLearningHelper, keyof contract.TransferLearningHelper>>,
  Expect<Same<ours.Augmentation, contract.Augmentation>>,
  Expect<Same<ours.FeaturizeOptions, contract.FeaturizeOptions>>,
  Expect<Fits<ours.FeatureSet, contract.FeatureSet>>,
  Expect<ours.ImageInput extends contract.ImageInput ? true : false>,
  Expect<Same<ours.Sample, contract.Sample>>,
  Expect<Fits<ours.DatasetOptions, contract.DatasetOptions>>,
  Expect<Fits<ours.Dataset, contract.Dataset>>,
  Expect<Fits<ours.FitOptions, contract.FitOptions>>,
  Expect<Same<keyof ours.FitOptions, keyof contract.FitOptions>>,
  Expect<Same<ours.Progress, contract.Progress>>,
  Expect<Fits<ours.History, contract.History>>,
  Expect<Fits<ours.Prediction, contract.Prediction>>,
  Expect<Fits<ours.Evaluation, contract.Evaluation>>,
  Expect<Fits<ours.ExportOptions, contract.ExportOptions>>,
  Expect<Fits<ours.ExportResult, contract.ExportResult>>,
  Expect<ErrorCode extends contract.ErrorCode ? contract.ErrorCode extends ErrorCode ? true : false : false>,
  Expect<Fits<Pick<RegraftError, 'code' | 'vertex' | 'detail'>, contract.RegraftError>>,
];

test('the types fit the contract: the compiler has said so', () => undefined);

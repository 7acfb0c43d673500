//! Learning settings of layers, and how they combine.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::config::Activation;
use super::init::WeightInit;
use crate::error::{Error, Result};
use crate::train::{Constraint, GradientNormalization, Updater};

/// Learning settings of the layers of a network, by name. Layers that have none are not in it.
pub type Settings = BTreeMap<String, LearningConfig>;

/// A setting with three states: left as it is (absent), removed (`null`), or given.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Setting<T> {
    /// Says nothing.
    #[default]
    Keep,
    /// Says that there is none.
    Remove,
    /// Says what it is.
    Set(T),
}

impl<T> Setting<T> {
    /// Whether it says nothing.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// What it is, if it is given.
    pub fn get(&self) -> Option<&T> {
        if let Self::Set(value) = self { Some(value) } else { None }
    }
}

impl<T> Setting<T> {
    fn settled(self) -> Self {
        if let Self::Remove = self { Self::Keep } else { self }
    }
}

impl<T: Clone> Over for Setting<T> {
    fn over(&self, below: &Self) -> Self {
        if self.is_keep() { below.clone() } else { self.clone() }
    }
}

impl<T: Serialize> Serialize for Setting<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Setting<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Remove, Self::Set))
    }
}

macro_rules! learning_config {
    ($($(#[$doc:meta])* $field:ident: $ty:ty, $name:literal, $is_empty:literal;)+) => {
        /// Learning settings of a layer or of all of them. A field that says nothing leaves what is there.
        ///
        /// `l1`, `l2` and `weight_decay` act on weights, the `…_bias` fields on biases and batch-norm parameters.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct LearningConfig {
            $($(#[$doc])* #[serde(skip_serializing_if = $is_empty)] pub $field: $ty,)+
        }

        impl LearningConfig {
            /// Names of the fields in JSON.
            pub(super) const FIELDS: &'static [&'static str] = &[$($name),+];

            /// These settings where they say something, else those below.
            #[must_use]
            pub fn over(&self, below: &Self) -> Self {
                Self { $($field: self.$field.over(&below.$field),)+ }
            }
        }
    };
}

trait Over {
    fn over(&self, below: &Self) -> Self;
}

impl<T: Clone> Over for Option<T> {
    fn over(&self, below: &Self) -> Self {
        self.clone().or_else(|| below.clone())
    }
}

learning_config! {
    /// Updater of weights and, without `bias_updater`, of everything else.
    updater: Option<Updater>, "updater", "Option::is_none";
    /// Updater of biases and batch-norm parameters.
    bias_updater: Option<Updater>, "biasUpdater", "Option::is_none";
    /// `l1·|w|` in the objective.
    l1: Setting<f32>, "l1", "Setting::is_keep";
    /// `½·l2·w²` in the objective.
    l2: Setting<f32>, "l2", "Setting::is_keep";
    /// Decoupled decay: `w ← w − rate·decay·w` beside each update (Loshchilov & Hutter 2019).
    weight_decay: Setting<f32>, "weightDecay", "Setting::is_keep";
    /// `l1` of biases.
    l1_bias: Setting<f32>, "l1Bias", "Setting::is_keep";
    /// `l2` of biases.
    l2_bias: Setting<f32>, "l2Bias", "Setting::is_keep";
    /// Probability of dropping a unit of the layer's input while training, in `[0, 1)`.
    dropout: Setting<f32>, "dropout", "Setting::is_keep";
    /// What is done to gradients before the updater sees them.
    gradient_normalization: Setting<GradientNormalization>, "gradientNormalization", "Setting::is_keep";
    /// What weights are projected to after each update.
    constraints: Setting<Vec<Constraint>>, "constraints", "Setting::is_keep";
    /// Activation of new layers; `identity`, of an output layer `softmax`.
    activation: Option<Activation>, "activation", "Option::is_none";
    /// Initialisation of weights that are drawn; `xavier`.
    weight_init: Option<WeightInit>, "weightInit", "Option::is_none";
    /// First value of biases that are drawn; 0.
    bias_init: Option<f32>, "biasInit", "Option::is_none";
}

impl LearningConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// `bad-option`.
    pub fn validate(&self) -> Result<()> {
        self.updater.iter().chain(&self.bias_updater).try_for_each(Updater::validate)?;
        let penalties = [
            ("l1", &self.l1),
            ("l2", &self.l2),
            ("weightDecay", &self.weight_decay),
            ("l1Bias", &self.l1_bias),
            ("l2Bias", &self.l2_bias),
        ];
        for (name, value) in penalties.into_iter().filter_map(|(name, setting)| Some((name, *setting.get()?))) {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::option(name, format!("0 or more, not {value}")));
            }
        }
        if let Some(rate) = self.dropout.get().filter(|rate| !(0.0..1.0).contains(*rate)) {
            return Err(Error::option("dropout", format!("a probability in [0, 1), not {rate}")));
        }
        if let Some(value) = self.bias_init.filter(|v| !v.is_finite()) {
            return Err(Error::option("biasInit", format!("a number, not {value}")));
        }
        self.weight_init.as_ref().map_or(Ok(()), WeightInit::validate)?;
        self.gradient_normalization.get().map_or(Ok(()), GradientNormalization::validate)?;
        self.constraints.get().into_iter().flatten().try_for_each(Constraint::validate)
    }

    /// As a layer keeps them: what was removed says nothing any more, and the activation is in the graph.
    #[must_use]
    pub(super) fn settled(self) -> Self {
        Self {
            l1: self.l1.settled(),
            l2: self.l2.settled(),
            weight_decay: self.weight_decay.settled(),
            l1_bias: self.l1_bias.settled(),
            l2_bias: self.l2_bias.settled(),
            dropout: self.dropout.settled(),
            gradient_normalization: self.gradient_normalization.settled(),
            constraints: self.constraints.settled(),
            activation: None,
            ..self
        }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

// The fields of the Train tab that take a schedule.

export const TARGETS = {
    embedding: {field: "embeddingRate", label: "embedding rate", kind: "rate"},
    hypernetwork: {field: "hypernetworkRate", label: "hypernetwork rate", kind: "rate"},
    clip: {field: "clip", label: "clip threshold", kind: "clip"},
};

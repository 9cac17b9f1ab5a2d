// SPDX-License-Identifier: Apache-2.0

package presets

import (
	"fmt"
	"slices"
)

// campaigns is the folder of the campaigns that go with presets.
const campaigns = "campaigns/"

// HasCampaigns reports whether there are campaigns that go with the preset.
func HasCampaigns(name string) bool {
	_, err := files.ReadFile(campaigns + name + extension)
	return err == nil
}

// WithCampaigns is the file of the preset, which the caller may change, with the campaigns
// that go with it and the messages that are their exposures. They stand apart because who
// is assigned to one is to be written to: a stage model is of use without.
func WithCampaigns(name string) (source []byte, err error) {
	source, err = Find(name)
	if err != nil {
		return nil, err
	}
	more, err := files.ReadFile(campaigns + name + extension)
	if err != nil {
		return nil, fmt.Errorf("there are no campaigns for preset %s", name)
	}
	return slices.Concat(source, []byte("\n"), more), nil
}

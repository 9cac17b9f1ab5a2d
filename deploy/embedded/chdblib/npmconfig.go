// SPDX-License-Identifier: Apache-2.0

package chdblib

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// npmConfig are npm's settings by name, as far as they were found.
type npmConfig map[string]string

// npmConfig reads what npm itself would, the first mention of a name winning:
// the environment, the project's .npmrc, the user's, the global one.
func (f *fetcher) npmConfig() (npmConfig, error) {
	c := npmConfig{}
	env := map[string]string{}
	for _, e := range f.environ {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "npm_config_") && value != "" {
			key := strings.TrimPrefix(lower, "npm_config_")
			if !strings.HasPrefix(key, "@") && !strings.HasPrefix(key, "//") {
				key = strings.ReplaceAll(key, "_", "-")
			}
			c.set(key, value)
		}
	}
	if err := c.read(filepath.Join(f.workDir, ".npmrc"), env); err != nil {
		return nil, err
	}
	user := c["userconfig"]
	if user == "" {
		user = filepath.Join(f.homeDir, ".npmrc")
	}
	if err := c.read(user, env); err != nil {
		return nil, err
	}
	if global := c["globalconfig"]; global != "" {
		return c, c.read(global, env)
	}
	if prefix := c["prefix"]; prefix != "" {
		return c, c.read(filepath.Join(prefix, "etc", "npmrc"), env)
	}
	return c, nil
}

func (c npmConfig) set(name, value string) {
	if _, ok := c[name]; !ok {
		c[name] = value
	}
}

// variable is npm's form of an environment variable in a value.
var variable = regexp.MustCompile(`\$\{([^${}]+)\}`)

// read adds the settings of one file, which need not exist.
func (c npmConfig) read(path string, env map[string]string) error {
	file, err := os.Open(path) //nolint:gosec // G304: the user names their own settings file, as to npm
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read npm's settings: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		value = variable.ReplaceAllStringFunc(strings.Trim(strings.TrimSpace(value), `"'`), func(v string) string {
			if set, ok := env[v[2:len(v)-1]]; ok {
				return set
			}
			return v // npm leaves unknown ones as they are
		})
		c.set(strings.TrimSpace(name), value)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read npm's settings in %s: %w", path, err)
	}
	return nil
}

// registry is the address of the registry for the package's scope, without a
// slash at its end.
func (f *fetcher) registry(ctx context.Context, c npmConfig) (*url.URL, error) {
	address := c[f.release.scope+":registry"]
	if address == "" {
		address = c["registry"]
	}
	if address == "" { // built into npm, or in a file that only npm knows of
		if out, err := f.npm(ctx, "config", "get", "registry"); err == nil && out != "undefined" {
			address = out
		}
	}
	if address == "" {
		return nil, ErrNoRegistry
	}
	u, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("the npm registry is set to %q, which is no http or https address: correct npm_config_registry or .npmrc", address)
	}
	return u, nil
}

// authorization is the header for the registry, "" for none. npm keys secrets by
// the address without its scheme, with a slash at the end.
func (c npmConfig) authorization(registry *url.URL) string {
	key := "//" + registry.Host + registry.Path + "/:"
	if token := c[key+"_authToken"]; token != "" {
		return "Bearer " + token
	}
	if basic := c[key+"_auth"]; basic != "" {
		return "Basic " + basic
	}
	return ""
}

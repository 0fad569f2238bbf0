#!/bin/sh
# Compile USWDS to the subset in site.scss and copy what the result names into ../static.
# Run by `make ui-assets`, by hand, when site.scss or a version in package.json changes; the results
# are committed, so neither installing nor running the product needs Node.js.
# A new lock: npm install --package-lock-only --omit-lockfile-registry-resolved
set -eu
cd "$(dirname "$0")"

# Outside the checkout, so that no wheel can take the packages along.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp package.json package-lock.json "$work"
npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund

"$work"/node_modules/.bin/sass --no-source-map --quiet \
  --load-path="$work"/node_modules/@uswds/uswds/packages site.scss "$work"/uswds.css
# The platform's package holds the program: the wrapper needs an install script, which is refused here.
"$work"/node_modules/lightningcss-cli-*/lightningcss --minify --targets '>= 0.5%, not dead' \
  "$work"/uswds.css --output-file ../static/css/uswds.css
python3 vendor.py "$work"/node_modules/@uswds/uswds

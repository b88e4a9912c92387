# step.sh LEDGER NAME: takes a moment, then does its effect once per idempotency key.
ledger=$1 name=$2
exec 9>"$ledger.$name.lock"
flock -n 9 || echo "overlap $name" >> "$ledger"
sleep 0.5 &
wait $!
grep -qx "done $BASCULE_KEY" "$ledger" 2>/dev/null || echo "done $BASCULE_KEY" >> "$ledger"

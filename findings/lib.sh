# For the findings about servers: packages of a Debian release in a folder, without their services. Needs root and
# mmdebstrap. Sourced with $folder set; mirrors are those of this machine (MIRROR names another one).

# Prints the Debian mirrors that this machine is set up with.
debian_mirrors() {
    sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true
    sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null || true
}

# $1: release, $2: packages. Prints the root folder.
debian_root() {
    local root=$folder/$1 base=base-files,bash,coreutils,dash,findutils,grep,hostname,libc-bin,mawk,procps,sed,util-linux
    [ -d "$root" ] || mmdebstrap --quiet --mode=root --variant=extract --include="$base,$2" \
        --aptopt='Acquire::Check-Valid-Until "false"' --dpkgopt='path-exclude=/usr/share/doc/*' \
        "$1" "$root" "deb ${MIRROR:-$(debian_mirrors | head -n 1)} $1 main" >&2
    for name in bin sbin lib lib64; do [ -e "$root/$name" ] || ln -s "usr/$name" "$root/$name"; done
    [ -e "$root/usr/bin/awk" ] || ln -s mawk "$root/usr/bin/awk"
    cp /etc/hosts "$root/etc/hosts"
    echo "$root"
}

# $1: root folder; further: a command that runs in it, in a process group of its own, which stop_all ends.
in_group() {
    # shellcheck disable=SC2016
    setsid unshare --mount --propagation private sh -euc '
        root=$1
        shift
        for each in proc sys dev tmp; do mount --rbind "/$each" "$root/$each"; done
        exec chroot "$root" "$@"' sh "$@" </dev/null &
    started+=($!)
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# $1: root folder. Starts RabbitMQ on loopback; sets $port, and the environment in which rabbitmqctl speaks to it.
start_rabbitmq() {
    local root=$1 state
    state=$(mktemp -d "$folder/state.XXXX")
    port=$(free_port)
    export RABBITMQ_NODENAME=finding$port@localhost RABBITMQ_MNESIA_BASE=$state RABBITMQ_LOG_BASE=$state HOME=$state
    export RABBITMQ_CONFIG_FILE=$state/rabbitmq.conf RABBITMQ_CONF_ENV_FILE=$state/none RABBITMQ_PID_FILE=$state/pid
    export RABBITMQ_ENABLED_PLUGINS_FILE=$state/plugins ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT RABBITMQ_DIST_PORT
    ERL_EPMD_PORT=$(free_port) RABBITMQ_DIST_PORT=$(free_port)
    export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
    printf 'listeners.tcp.1 = 127.0.0.1:%s\ndisk_free_limit.absolute = 50MB\n' "$port" >"$state/rabbitmq.conf"
    echo '[].' >"$state/plugins"
    sbin=$(cd "$root" && ls -d usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin)
    in_group "$root" epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" >"$state/epmd.log" 2>&1
    in_group "$root" "/$sbin/rabbitmq-server" >"$state/log" 2>&1
    wait_for_port "$state/log"
}

# End what start_rabbitmq started, and wait for it.
stop_all() {
    for process in "${started[@]}"; do kill -9 -- "-$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    started=()
}
started=()

# $1: root folder. Starts Janus on loopback, with WebSockets only; sets $port.
start_janus() {
    local root=$1 etc at
    etc=$(mktemp -d "$folder/etc.XXXX")
    port=$(free_port)
    at=/$(cd "$root" && ls -d usr/lib/*/janus)
    local others=libjanus_http.so,libjanus_rabbitmq.so,libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so
    {
        printf 'general: { configs_folder = "%s"\n plugins_folder = "%s/plugins"\n' "$etc" "$at"
        printf ' transports_folder = "%s/transports"\n events_folder = "%s/events"\n' "$at" "$at"
        printf ' loggers_folder = "%s/loggers"\n interface = "127.0.0.1" }\n' "$at"
        printf 'transports: { disable = "%s" }\n' "$others"
    } >"$etc/janus.jcfg"
    printf 'general: { ws = true\n ws_port = %s\n ws_ip = "127.0.0.1"\n wss = false }\n' "$port" \
        >"$etc/janus.transport.websockets.jcfg"
    in_group "$root" janus -F "$etc" -o >"$etc/log" 2>&1
    wait_for_port "$etc/log"
}

# $1: log file, printed where nothing listens at $port within a minute.
wait_for_port() {
    for _ in $(seq 300); do
        if (echo >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
        sleep 0.2
    done
    cat "$1" >&2
    exit 1
}

# $1: root folder. Starts Asterisk with ConfBridge and nothing else; its manager interface is at $port of loopback, for
# user "finding" with secret "finding" and the classes call and user to read. Sets $etc, the folder of its files.
start_asterisk() {
    local root=$1 name
    etc=$(mktemp -d "$folder/etc.XXXX")
    port=$(free_port)
    {
        echo '[directories]'
        for name in astvarlibdir astdbdir astkeydir astagidir astspooldir astrundir astlogdir; do
            echo "$name => $etc"
        done
        echo "astetcdir => $etc"
        echo "astmoddir => /$(cd "$root" && find usr/lib -path '*/asterisk/modules')"
        echo 'astdatadir => /usr/share/asterisk'
    } >"$etc/asterisk.conf"
    {
        printf '[modules]\nautoload = no\n'
        for name in app_confbridge app_mixmonitor app_playtones bridge_builtin_features bridge_builtin_interval_features \
            bridge_holding bridge_native_rtp bridge_simple bridge_softmix chan_bridge_media codec_ulaw format_wav \
            format_pcm func_channel pbx_config res_timing_timerfd; do
            echo "load = $name.so"
        done
    } >"$etc/modules.conf"
    printf '[general]\nenabled = yes\nport = %s\nbindaddr = 127.0.0.1\n[finding]\nsecret = finding\n%s\n' "$port" \
        $'read = call,user\nwrite = system,call,command,originate,reporting' >"$etc/manager.conf"
    printf '[general]\n[bridge]\ntype = bridge\nrecord_file_timestamp = no\n[user]\ntype = user\n' >"$etc/confbridge.conf"
    printf '[general]\n[talk]\nexten => 1,1,Answer()\n same => n,Playtones(440)\n same => n,Wait(60)\n%s\n' \
        $'exten => 2,1,Answer()\n same => n,ConfBridge(room,bridge,user)' >"$etc/extensions.conf"
    in_group "$root" asterisk -f -C "$etc/asterisk.conf" >"$etc/log" 2>&1
}

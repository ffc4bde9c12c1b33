# Checks of Perl's Cache::Memcached::Fast; clients_perl.py runs each by its name.
#
#     perl cache_memcached_fast.pl HOST PORT NAME

use strict;
use warnings;
use Cache::Memcached::Fast;
use IO::Socket::INET;
use Test::More;

my ($host, $port, $name) = @ARGV;
my %checks;
sub check { my ($name, $body) = @_; $checks{$name} = $body }

use constant MIB => 1024 * 1024;

sub connect_to {
    my %settings = (
        servers => ["$host:$port"],
        connect_timeout => 20,
        io_timeout => 20,
        utf8 => 1,
        @_,
    );
    return Cache::Memcached::Fast->new(\%settings);
}

# Moves the daemon's clock forward.
sub advance_clock {
    my ($secs) = @_;
    my $connection = IO::Socket::INET->new("$host:$port") or die "no connection: $!";
    print $connection "debugtime $secs\r\n";
    is(scalar <$connection>, "OK\r\n", 'clock');
}

check('set_get_delete', sub {
    my $client = connect_to();
    is($client->get('a'), undef);
    ok($client->set('a', '1'));
    is($client->get('a'), '1');
    ok($client->delete('a'));
    is($client->delete('a'), '');
    is($client->get('a'), undef);
});

check('add_replace_append_prepend', sub {
    my $client = connect_to();
    is($client->$_('a', 'x'), '') for qw(replace append prepend);
    ok($client->add('a', '1'));
    is($client->add('a', '2'), '');
    ok($client->replace('a', '3'));
    ok($client->append('a', '>'));
    ok($client->prepend('a', '<'));
    is($client->get('a'), '<3>');
});

check('cas', sub {
    my $client = connect_to();
    is($client->gets('a'), undef);
    $client->set('a', '1');
    my ($unique, $value) = @{$client->gets('a')};
    is($value, '1');
    ok($client->cas('a', $unique, '2'));
    is($client->cas('a', $unique, '3'), '');
    is($client->cas('missing', $unique, '3'), '');
    my $found = $client->gets_multi('a', 'missing');
    is_deeply([keys %$found], ['a']);
    my $done = $client->cas_multi(['a', $found->{a}[0], '4'], ['a', 1, '5']);
    is_deeply($done, { a => '' });    # the second of the two, by name
    is($client->get('a'), '4');
});

check('incr_decr', sub {
    my $client = connect_to();
    is($client->incr('n'), '');
    is($client->decr('n'), '');
    $client->set('n', 9);
    is($client->incr('n'), 10);
    is($client->incr('n', 5), 15);
    is($client->decr('n', 3), 12);
    is($client->decr('n', 100), '0E0');    # a zero that is true
    $client->set_multi(['a', 1], ['b', 2]);
    is_deeply(scalar $client->incr_multi('a', ['b', 10], ['missing', 1]), { a => 2, b => 12, missing => '' });
    is_deeply(scalar $client->decr_multi('a', ['b', 10]), { a => 1, b => 2 });
    $client->set('text', 'text');
    is($client->incr('text'), undef);
    is($client->get('text'), 'text');
});

check('touch_and_expiry', sub {
    my $client = connect_to();
    is($client->touch('a', 100), '');
    $client->set_multi(['a', '1', 100], ['short', '1', 100], ['many', '1', 100], ['got', '1', 100]);
    ok($client->touch('a', 1000));
    is_deeply(scalar $client->touch_multi(['many', 1000], ['missing', 1000]), { many => 1, missing => '' });
    is($client->gat(1000, 'got'), '1');
    advance_clock(500);
    my @keys = qw(a short many got);
    is_deeply(scalar $client->get_multi(@keys), { a => '1', many => '1', got => '1' });
    is_deeply(scalar $client->gat_multi(2000, @keys), { a => '1', many => '1', got => '1' });
    my ($unique, $value) = @{$client->gats(2000, 'a')};
    is($value, '1');
    ok($client->cas('a', $unique, '2', 2000));
    is_deeply([sort keys %{$client->gats_multi(2000, @keys)}], [qw(a got many)]);
    advance_clock(1000);
    is_deeply(scalar $client->get_multi(@keys), { a => '2', many => '1', got => '1' });
});

check('multi', sub {
    my $client = connect_to();
    my %items = map { ("key$_" => "value $_") } 0 .. 999;
    my $stored = $client->set_multi(map { [$_, $items{$_}] } keys %items);
    is(scalar(grep { $_ } values %$stored), 1000);
    is_deeply(scalar $client->get_multi(keys %items, 'missing'), \%items);
    my $added = $client->add_multi(['key1', 'x'], ['new', '1']);
    is_deeply($added, { key1 => '', new => 1 });
    my $deleted = $client->delete_multi(keys %items, 'missing');
    is(scalar(grep { $_ } values %$deleted), 1000);
    is_deeply(scalar $client->get_multi(keys %items), {});
});

check('noreply', sub {
    my $client = connect_to(nowait => 1);
    $client->set("key$_", $_) for 0 .. 499;
    is($client->get("key$_"), $_) for 0 .. 499;
    $client->delete("key$_") for 0 .. 499;
    $client->add('a', 1);
    $client->add('a', 2);
    $client->incr('a', 10);
    $client->append('missing', 'x');
    $client->nowait_push;
    is_deeply(scalar $client->get_multi('a', map { "key$_" } 0 .. 499), { a => 11 });
});

check('values', sub {
    my $client = connect_to();
    my $binary = join '', map { chr } 0 .. 255;
    for my $value ('', "\r\nEND\r\n", $binary, "t\x{e9}xt \x{20ac}", [1, { two => undef }], { a => [] }) {
        ok($client->set('a', $value));
        is_deeply($client->get('a'), $value);
    }
});

check('value_sizes', sub {
    my $client = connect_to();
    for my $size (0, 1, 2, 100, 2047, 2048, 16384, 65536, 524288, MIB - 512) {
        my $value = substr(pack('V*', map { $_ * $_ + $size } 0 .. $size / 4 + 1), 0, $size);
        ok($client->set('a', $value));
        ok($client->get('a') eq $value, $size);
    }
});

check('compressed', sub {
    my $client = connect_to(compress_threshold => 1000);
    my $text = 'compressible ' x 200_000;
    ok($client->set('a', $text));
    ok($client->get('a') eq $text);
    ok($client->set('b', 'short'));
    is($client->get('b'), 'short');
});

check('too_large', sub {
    my $client = connect_to(max_size => 4 * MIB);
    for my $size (MIB, 2 * MIB) {
        ok(!$client->set('a', 'x' x $size));
        is($client->get('a'), undef);
        ok($client->set('a', 'small'));
        is($client->get('a'), 'small');
    }
});

check('keys', sub {
    my $client = connect_to();
    for my $key ('k', 'k' x 250, "\x{e9}" x 125, '{}[]:;,.!?') {
        ok($client->set($key, $key));
        is($client->get($key), $key);
    }
    ok(!$client->set('k' x 251, 'x'));
    is($client->get('k'), 'k');
    my $prefixed = connect_to(namespace => 'prefix:');
    ok($prefixed->set('a', '1'));
    is_deeply($prefixed->get_multi('a'), { a => '1' });
    is($client->get('prefix:a'), '1');
});

check('flush_version', sub {
    my $client = connect_to();
    like($client->server_versions->{"$host:$port"}, qr/^1\.\d+\.\d+/);
    $client->set('a', '1');
    ok((values %{$client->flush_all})[0]);
    is($client->get('a'), undef);
    $client->set('a', '2');
    ok((values %{$client->flush_all(100)})[0]);
    is($client->get('a'), '2');
    advance_clock(110);
    is($client->get('a'), undef);
});

check('reconnect', sub {
    my $client = connect_to();
    $client->set('a', '1');
    $client->disconnect_all;
    is($client->get('a'), '1');
});

# What fails is shown on the standard error; the exit code is the number of failures.
Test::More->builder->output(\my $passed);
$checks{$name}->();
done_testing();
